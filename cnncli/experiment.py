"""A config made real: its data, its network, its machine; and what can be done with them."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from cnncli import finetuning
from cnncli.checkpoint import Checkpoint
from cnncli.config.schema import Config
from cnncli.datasets import Images, Pictures, Split, SplitName
from cnncli.errors import CheckpointError, DataError
from cnncli.pipeline import cache
from cnncli.pipeline.loader import Loader, Recipe
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.reading import BrokenFile, list_broken
from cnncli.pipeline.resident import ResidentLoader
from cnncli.pipeline.streaming import StreamingLoader
from cnncli.pipeline.workers import minding_workers
from cnncli.registry import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES
from cnncli.runtime import Runtime, choose_runtime
from cnncli.settling import augment_of, settle, transforms_of
from cnncli.splits import Splits
from cnncli.text import listed, one_line
from cnncli.training.freezing import freeze
from cnncli.training.state import TrainState


@dataclass(frozen=True)
class Experiment:
    """What a config stands for. ``config`` is settled: nothing is left that data or machine decide."""

    config: Config
    splits: Splits
    preprocess: Preprocess
    runtime: Runtime
    note: Callable[[str], None] = lambda text: None  # where to say what takes long or writes outside the run
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)  # what tells the splits that were read from others
    initial_weights: dict[str, torch.Tensor] = field(default_factory=dict)  # those that are not drawn
    is_resumed: bool = False  # then the first weights are of no matter
    may_write: bool = True  # to the cache, as neither a dry run nor a stranger's checkpoint may

    @classmethod
    def prepare(
        cls, config: Config, note: Callable[[str], None] = lambda text: None, resumed: Checkpoint | None = None
    ) -> "Experiment":
        """Find out what the config leaves open, and write it into a copy; reads no image.

        A run that is ``resumed`` keeps from training what it held out. Raises ``ConfigError`` where model and data
        contradict each other, ``CheckpointError`` where the classes are not those that were resumed, or
        ``model.init_from`` is of no use, ``MachineError`` for an absent device.
        """
        config = config.model_copy(deep=True)
        initial = None if resumed else finetuning.initial_checkpoint(config.model)
        wanted = config.runtime
        runtime = choose_runtime(**wanted.model_dump())
        wanted.device, wanted.threads = str(runtime.device), runtime.threads
        wanted.memory_format = runtime.memory_format
        if config.data.options.get("download"):
            note(f"what is not in {config.data.options['root']} yet is downloaded there")
        with runtime.in_turn():
            held_out = resumed.held_out if resumed else None
            splits = Splits(DATASETS.get(config.data.name)(**config.data.options), config, held_out)
        if resumed is not None and list(splits.classes) != resumed.classes:
            were, are = (", ".join(classes[:20]) for classes in (resumed.classes, splits.classes))
            raise CheckpointError(
                f"the run was trained on classes {were}, but there are now {are}, in this order;"
                " bring them back, or start a new run"
            )
        if initial is None:
            return cls(config, splits, settle(config, splits, runtime), runtime, note, is_resumed=resumed is not None)
        learned = Preprocess.from_dict(initial.preprocess)
        preprocess = settle(config, splits, runtime, learned)
        weights = finetuning.fitting_weights(initial, config.model, splits.classes, note)
        finetuning.tell_held_out(initial, config, note)
        finetuning.tell_preprocessing(preprocess, learned, note)
        return cls(config, splits, preprocess, runtime, note, initial_weights=weights)

    def build_model(self) -> nn.Module:
        """Return the network with first weights, taken or drawn from ``train.seed``, in its place on the device."""
        torch.manual_seed(self.config.train.seed)
        network = MODELS.get(self.config.model.name)(**self.config.model.options)
        if (path := self.fetch_weights()) is not None:
            weights, classes = str(self.config.model.weights), list(self.splits.classes)
            said = self._published.give(weights, path, network, classes, self.preprocess.size)
            self.note(f"{self.config.model.name} begins with {one_line(weights)}; {said}")
        network.load_state_dict(self.initial_weights, strict=False)
        if frozen := freeze(network, self.config.model.frozen):
            finetuning.tell_frozen(network, frozen, self.initial_weights, self.note)
        return self.runtime.place(network)

    def fetch_weights(self) -> Path | None:
        """Return the file of the published weights to begin with, downloaded where it has to be; ``None`` without any.

        Raises ``DataError`` where that fails, ``CheckpointError`` where there is no such file.
        """
        if self.config.model.weights is None or self.is_resumed:
            return None
        with self.runtime.in_turn():
            folder, may_download = cache.folder() / "weights", self.may_write
            path: Path | None = self._published.fetch(self.config.model.weights, folder, self.note, may_download)
        return path

    @property
    def _published(self) -> Any:
        """The weights there are of the network, which is of a family that publishes some."""
        return vars(MODELS.get(self.config.model.name))["published"]

    def build_criterion(self, labels: torch.Tensor | None = None) -> nn.Module:
        """Return the loss, on the device; ``labels`` int64 [N] of the images to train on balance its class weights."""
        loss, given = self.config.loss, {}
        if labels is not None and loss.options.get("class_weights") == "balanced":
            given["class_counts"] = labels.bincount(minlength=len(self.splits.classes))
        return LOSSES.get(loss.name)(**given, **loss.options).to(self.runtime.device)

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        """Return the optimizer of what is trained of a network."""
        parameters = finetuning.parameter_groups(model, self.config)
        return OPTIMIZERS.get(self.config.optimizer.name)(parameters, **self.config.optimizer.options)

    def build_state(self, loader: Loader) -> TrainState:
        """Return the state before the first step of training on the images of ``loader``."""
        config = self.config
        model = self.build_model()
        steps_per_epoch = loader.num_batches
        total_steps = steps_per_epoch * config.train.epochs
        schedule = SCHEDULES.get(config.schedule.name)(total_steps, steps_per_epoch, **config.schedule.options)
        schedule.warmup_steps = round(config.schedule.warmup_epochs * steps_per_epoch)
        criterion = self.build_criterion(loader.labels)
        optimizer, train = self.build_optimizer(model), config.train
        return TrainState(model, criterion, optimizer, schedule, self.runtime, train.clip_norm, train.ema)

    def check_classes(self) -> None:
        """Raise ``DataError`` where there is no picture to train on of a class; arrays are not looked at."""
        if self.splits.source.image_size is None and (untaught := self.splits.untaught()):
            raise DataError(
                f"no picture to train on of class {listed(untaught[:10])}{' …' * (len(untaught) > 10)};"
                " add some, remove its folder, or leave it out with data.classes"
            )

    def train_loader(self) -> Loader:
        """Return the loader that shuffles and augments."""
        data, train, augment = self.config.data, self.config.train, augment_of(self.config)
        classes = len(self.splits.classes)
        recipe = Recipe(self.preprocess, train.batch_size, train.seed, augment, data.sampling, classes)
        images = self._images("train")
        assert images is not None
        transforms = transforms_of(self.config)
        kept, _ = self._kept(images, may_shrink=True)
        if isinstance(kept, Split) and transforms is None:
            return ResidentLoader(kept, recipe, self.runtime, len(images) - len(kept))
        return StreamingLoader(kept, recipe, self.runtime, self.workers, data.on_error, transforms, may_shrink=True)

    def eval_loader(self, name: SplitName, often: bool = False) -> Loader | None:
        """Return the loader that evaluation uses of a split; ``None`` if there is none of that name.

        What is read ``often`` is read ahead, or stays on the device.
        """
        if (images := self._images(name)) is None:
            return None
        data, recipe = self.config.data, Recipe(self.preprocess, self.config.train.eval_batch_size)
        kept, files = self._kept(images, may_shrink=False)
        if isinstance(kept, Split):
            return ResidentLoader(kept, recipe, self.runtime, len(images) - len(kept), often, files)
        return StreamingLoader(kept, recipe, self.runtime, self.workers, data.on_error, ahead=often)

    @contextmanager
    def listing_broken(self, *names: SplitName) -> Iterator[None]:
        """Where a picture turns out broken inside the context, raise a ``DataError`` that lists all such of splits.

        A worker that dies is a ``MachineError``.
        """
        try:
            with minding_workers():
                yield
        except BrokenFile as error:
            splits = [images for name in names if (images := self.splits.load(name)) is not None]
            found = [text for images in splits for text in list_broken(images, self.preprocess, self.workers)]
            messages = found or [f"{error} (it can be read by now)"]
            raise DataError(
                f"{len(messages):,} of {sum(map(len, splits)):,} pictures cannot be read:\n  "
                + "\n  ".join(messages)
                + "\nrepair or remove them, or train with data.on_error: skip, which leaves them out"
            ) from None

    @property
    def workers(self) -> int:
        """Processes that read pictures."""
        assert self.config.data.workers != "auto"  # which is settled
        return self.config.data.workers

    def checkpoint(self, state: TrainState, history: list[dict[str, Any]]) -> Checkpoint:
        """Return all that a file should hold of a run at this moment; all ranks have to ask for it."""
        return Checkpoint(
            model=self.config.model.name,
            options=self.config.model.options,
            weights=state.evaluated_model.state_dict(),
            classes=list(self.splits.classes),
            preprocess=self.preprocess.to_dict(),
            config=self.config.model_dump(),
            state=state.state_dict(),
            held_out=self.splits.held_out_names(),
            history=history,
            data=self.seen,
        )

    def _images(self, name: SplitName) -> Images | None:
        """Read or list a split; ``DataError`` where it is empty, or another one on another rank."""
        with self.runtime.in_turn():
            images = self.splits.load(name)
        if images is not None and not len(images):
            raise DataError(f"the {name} split holds no images")
        if images is not None:
            self.seen[name] = {"num_images": len(images), "digest": images.digest()}
        self._check_agreement(self.seen.get(name), f"the {name} split is not the one that the first process has")
        return images

    def _check_agreement(self, here: object, problem: str) -> None:
        """Raise ``DataError`` where something is not what it is on rank 0."""
        if here != self.runtime.from_main(lambda: here):
            raise DataError(f"{problem}; all need the same files")

    def _kept(self, images: Images, may_shrink: bool) -> tuple[Images, Pictures | None]:
        """Return the canvases of images where they are to be kept, or else the pictures; and the files they are of."""
        data = self.config.data
        if not isinstance(images, Pictures):
            return Split(self.runtime.arrange(self.preprocess.fit(images.images)), images.labels), None
        is_kept = data.cache != "disk" or self.may_write or cache.path_of(images, self.preprocess, may_shrink).is_file()
        if data.cache == "off" or not is_kept:
            return images, images
        keeper = cache.Cache(self.preprocess, self.workers, data.on_error, self.note)
        if data.cache == "memory":
            split, good = keeper.in_memory(images, may_shrink)
        else:
            with self.runtime.in_turn():
                split, good = keeper.on_disk(images, may_shrink)
        if not len(split):
            raise DataError("none of the pictures can be read")
        self._check_agreement(
            hashlib.sha256(good.numpy().data).hexdigest(),
            "other pictures are broken here than where the first process runs",
        )
        return split, images.take(good.nonzero().squeeze(1))
