"""A config made real: its data, its network, its machine; and what can be done with them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnncli.analysis.tencrop import TenCrop
from cnncli.checkpoint import Checkpoint
from cnncli.config.loading import Document
from cnncli.config.schema import Config, option_fields
from cnncli.config.validation import validate, validate_options
from cnncli.datasets import Images, Pictures, Split, SplitName
from cnncli.errors import CheckpointError, ConfigError, DataError
from cnncli.pipeline import cache
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.loader import Loader, Recipe
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.reading import BrokenFile, broken
from cnncli.pipeline.resident import ResidentLoader
from cnncli.pipeline.streaming import StreamingLoader
from cnncli.pipeline.transforms import Transforms
from cnncli.registry import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES
from cnncli.runtime import Runtime, choose_runtime, cores_a_rank
from cnncli.splits import Record, Splits
from cnncli.training.loop import evaluate
from cnncli.training.meters import Metrics
from cnncli.training.state import TrainState


@dataclass(frozen=True)
class Experiment:
    """What a config stands for. ``config`` is settled: nothing is left that data or machine decide."""

    config: Config
    splits: Splits
    preprocess: Preprocess
    runtime: Runtime
    note: Callable[[str], None] = lambda text: None  # where to say what takes long or writes outside the run

    @classmethod
    def prepare(
        cls, config: Config, note: Callable[[str], None] = lambda text: None, held_out: Record | None = None
    ) -> "Experiment":
        """Find out what the config leaves open, and write it into a copy; reads no image.

        ``held_out`` names the files that a run which goes on keeps from training. Raises ``ConfigError`` where model
        and data contradict each other, ``MachineError`` for an absent device.
        """
        config = config.model_copy(deep=True)
        wanted = config.runtime
        runtime = choose_runtime(wanted.device, wanted.precision, wanted.memory_format, wanted.threads)
        wanted.device, wanted.threads = str(runtime.device), runtime.threads
        wanted.memory_format = runtime.memory_format
        if config.data.options.get("download"):
            note(f"what is not in {config.data.options['root']} yet is downloaded there")
        with runtime.in_turn():
            splits = Splits(DATASETS.get(config.data.name)(**config.data.options), config, held_out)
        _settle_data(config, splits)
        _settle_model(config, splits)
        preprocess = _preprocess(config)
        _settle_reading(config, splits, preprocess, runtime)
        return cls(config, splits, preprocess, runtime, note)

    @classmethod
    def of_checkpoint(
        cls,
        checkpoint: Checkpoint,
        data: Path | None = None,
        device: str | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> "Experiment":
        """Return what a checkpoint was trained with, but on the images of ``data`` (.npz, a folder) or another device.

        Raises ``DataError`` where arrays are not of the size that the network takes.
        """
        try:
            config = validate(Document("the checkpoint's config", checkpoint.config))
        except ConfigError as error:
            raise CheckpointError(f"this cnncli does not understand {error}") from None
        preprocess = Preprocess.from_dict(checkpoint.preprocess)
        if data is None:
            splits = Splits(DATASETS.get(config.data.name)(**config.data.options), config, checkpoint.held_out)
        else:
            splits = _splits_of(data, config)
        source = splits.source
        if source.image_size is not None and data is not None:
            given = (source.channels, source.image_size)
            if given != (preprocess.channels, preprocess.side):
                raise DataError(
                    f"the images are {given[0]}×{given[1]}×{given[1]}, but the network takes"
                    f" {preprocess.channels}×{preprocess.side}×{preprocess.side}"
                )
        wanted = config.runtime
        if device is None or device == wanted.device:
            runtime = choose_runtime(wanted.device, wanted.precision, wanted.memory_format, wanted.threads)
        else:
            runtime = choose_runtime(device, wanted.precision)
        return cls(config, splits, preprocess, runtime, note)

    def build_model(self) -> nn.Module:
        """Return the network with first weights drawn from ``train.seed``, in its place on the device."""
        torch.manual_seed(self.config.train.seed)
        return self.runtime.place(MODELS.get(self.config.model.name)(**self.config.model.options))

    def build_criterion(self, labels: torch.Tensor | None = None) -> nn.Module:
        """Return the loss, on the device; ``labels`` int64 [N] of the images to train on balance its class weights."""
        loss, given = self.config.loss, {}
        if labels is not None and loss.options.get("class_weights") == "balanced":
            given["class_counts"] = labels.bincount(minlength=len(self.splits.classes))
        return LOSSES.get(loss.name)(**given, **loss.options).to(self.runtime.device)

    def build_state(self, loader: Loader) -> TrainState:
        """Return the state before the first step of training on the images of ``loader``."""
        config = self.config
        model = self.build_model()
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = OPTIMIZERS.get(config.optimizer.name)(trained, **config.optimizer.options)
        steps_per_epoch = loader.num_batches
        total_steps = steps_per_epoch * config.train.epochs
        schedule = SCHEDULES.get(config.schedule.name)(total_steps, steps_per_epoch, **config.schedule.options)
        schedule.warmup_steps = round(config.schedule.warmup_epochs * steps_per_epoch)
        criterion = self.build_criterion(loader.labels)
        return TrainState(model, criterion, optimizer, schedule, self.runtime, config.train.clip_norm, config.train.ema)

    def check_classes(self) -> None:
        """Raise ``DataError`` where there is no picture to train on of a class; arrays are not looked at."""
        if self.splits.source.image_size is None and (untaught := self.splits.untaught()):
            raise DataError(
                f"no picture to train on of class {', '.join(untaught[:10])}{' …' * (len(untaught) > 10)};"
                " add some, remove its folder, or leave it out with data.classes"
            )

    def train_loader(self) -> Loader:
        """Return the loader that shuffles and augments."""
        data, train, augment = self.config.data, self.config.train, _augment(self.config)
        classes = len(self.splits.classes)
        recipe = Recipe(self.preprocess, train.batch_size, train.seed, augment, data.sampling, classes)
        images = self._images("train")
        assert images is not None
        transforms = _transforms(self.config)
        kept, skipped = self._kept(images, may_shrink=True)
        if isinstance(kept, Split) and transforms is None:
            return ResidentLoader(kept, recipe, self.runtime, skipped)
        return StreamingLoader(kept, recipe, self.runtime, self.workers, data.on_error, transforms, may_shrink=True)

    def eval_loader(self, name: SplitName, ahead: bool = False) -> Loader | None:
        """Return the loader that evaluation uses of a split; ``None`` if there is none of that name.

        With ``ahead`` it is read several times, and ahead of each.
        """
        if (images := self._images(name)) is None:
            return None
        data, recipe = self.config.data, Recipe(self.preprocess, self.config.train.eval_batch_size)
        kept, skipped = self._kept(images, may_shrink=False)
        if isinstance(kept, Split):
            return ResidentLoader(kept, recipe, self.runtime, skipped)
        return StreamingLoader(kept, recipe, self.runtime, self.workers, data.on_error, ahead=ahead)

    def score(self, checkpoint: Checkpoint, loader: Loader, ten_crop: bool = False) -> Metrics:
        """Evaluate a checkpoint on images whose classes are those of this experiment's data set.

        With ``ten_crop`` the network sees five places of the canvas and their mirror images, and their mean counts.
        """
        model = self.runtime.place(checkpoint.build())
        if ten_crop:
            if self.preprocess.side == self.preprocess.size:
                raise ConfigError(
                    f"ten crops of {self.preprocess.size} pixels need a larger data.canvas to be taken from,"
                    " which this network was not trained with"
                )
            if self.config.loss.name != "cross_entropy":
                raise ConfigError(f"ten crops average probabilities, which {self.config.loss.name} has none of")
            model = TenCrop(model, self.preprocess.size)
        loader.labels = _renumbered(loader.labels, self.splits.classes, checkpoint.classes)
        with self.runtime.guard(loader.recipe.batch_size):
            return evaluate(model, self.build_criterion(), loader.in_order(canvases=ten_crop), self.runtime)

    @contextmanager
    def listing_broken(self, *names: SplitName) -> Iterator[None]:
        """Where a picture turns out broken inside the context, raise a ``DataError`` that lists all such of splits."""
        try:
            yield
        except BrokenFile:
            splits = [images for name in names if (images := self.splits.load(name)) is not None]
            messages = [text for images in splits for text in broken(images, self.preprocess, self.workers)]
            raise DataError(
                f"{len(messages):,} of {sum(map(len, splits)):,} pictures cannot be read:\n  "
                + "\n  ".join(messages)
                + "\nrepair or remove them, or leave them out with data.on_error: skip"
            ) from None

    @property
    def workers(self) -> int:
        """Processes that read pictures."""
        assert self.config.data.workers != "auto"  # which is settled
        return self.config.data.workers

    def checkpoint(self, state: TrainState) -> Checkpoint:
        """Return all that a file should hold of a run at this moment."""
        return Checkpoint(
            model=self.config.model.name,
            options=self.config.model.options,
            weights=state.evaluated_model.state_dict(),
            classes=list(self.splits.classes),
            preprocess=self.preprocess.to_dict(),
            config=self.config.model_dump(),
            state=state.state_dict(),
            held_out=self.splits.held_out_names(),
        )

    def _images(self, name: SplitName) -> Images | None:
        """Read or list a split; ``DataError`` where it is empty, or another one on another rank."""
        with self.runtime.in_turn():
            images = self.splits.load(name)
        if images is not None and not len(images):
            raise DataError(f"the {name} split holds no images")
        if self.runtime.world_size > 1:
            digest = images.digest() if images is not None else ""
            if digest != self.runtime.from_main(lambda: digest):
                raise DataError(f"the {name} split is not the one that the first process has; all need the same files")
        return images

    def _kept(self, images: Images, may_shrink: bool) -> tuple[Images, int]:
        """Return the canvases of images where they are to be kept, or else the pictures; and how many are broken."""
        data = self.config.data
        if not isinstance(images, Pictures):
            return Split(self.preprocess.fit(images.images), images.labels), 0
        if data.cache == "off":
            return images, 0
        keeper = cache.Cache(self.preprocess, self.workers, data.on_error, self.note)
        if data.cache == "memory":
            split = keeper.in_memory(images, may_shrink)
        else:
            with self.runtime.in_turn():
                split = keeper.on_disk(images, may_shrink)
        if not len(split):
            raise DataError("none of the pictures can be read")
        return split, len(images) - len(split)


def _splits_of(data: Path, config: Config) -> Splits:
    """Return the splits of other images than those a config names: an .npz file or a folder of pictures.

    A folder without splits is a test split as a whole.
    """
    config.data.limit = config.data.classes = None
    config.data.validation = config.data.test = 0.0
    if not data.is_dir():
        return Splits(DATASETS.get("npz")(**{"path": str(data.absolute())}), config)
    source: Any = DATASETS.get("image_folder")(**{"root": str(data.absolute())})
    if source.is_one_tree:
        source.call_it("test")
    return Splits(source, config)


def _augment(config: Config) -> Augment:
    fields = config.augment.model_dump(exclude={"transforms"})
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
    return Augment(**values)


def _transforms(config: Config) -> Transforms | None:
    specs = [spec.model_dump() for spec in config.augment.transforms]
    return Transforms(specs) if specs else None


def _preprocess(config: Config) -> Preprocess:
    data = config.data
    assert data.size is not None
    assert data.channels is not None
    assert data.mean is not None
    assert data.std is not None
    red, green, blue = data.background
    mean, std = tuple(data.mean), tuple(data.std)
    return Preprocess(data.size, data.channels, mean, std, data.canvas or data.size, data.resize, (red, green, blue))


def _settle_data(config: Config, splits: Splits) -> None:
    """Settle size, colour and normalisation by the data, or where they leave it open, by the network."""
    data, augment, source = config.data, config.augment, splits.source
    usual = option_fields(MODELS.get(config.model.name)).get("image_size", (None, None))[1]
    asked = config.model.options.get("image_size") if "image_size" in config.model.model_fields_set else None
    data.size = data.size or source.image_size or asked or usual
    if data.size is None:
        raise config.error(("data", "size"), "is needed: the pixels a side that the network sees")
    data.canvas = data.canvas or data.size
    if data.canvas < data.size:
        raise config.error(("data", "canvas"), f"is {data.canvas}, less than the {data.size} of data.size")
    own_channels = source.channels or 3
    channels = data.channels = data.channels or own_channels
    if source.channels is None and channels not in (1, 3):
        raise config.error(("data", "channels"), f"must be 1 (grey) or 3 (colour) for pictures, got {channels}")
    if channels != own_channels and (own_channels not in (1, 3) or channels not in (1, 3)):
        raise config.error(("data", "channels"), f"images of {own_channels} channels cannot be made grey or colour")
    for key, own in (("mean", source.mean), ("std", source.std)):
        given = getattr(data, key)
        if given is None:
            setattr(data, key, list(own) if len(own) == channels else [sum(own) / len(own)] * channels)
        elif len(given) != channels:
            problem = f"{len(given)} values, but images of {data.name} have {channels} channels"
            raise config.error(("data", key), problem)
    if augment.shift >= data.size:
        raise config.error(("augment", "shift"), f"must be below the {data.size} pixels of a side")
    if augment.crop and data.canvas == data.size:
        raise config.error(("augment", "crop"), "needs a data.canvas larger than data.size to take crops from")
    for key in ("saturation", "hue", "pca"):
        if getattr(augment, key) and data.channels != 3:
            raise config.error(("augment", key), f"changes colours, but images of {data.name} have none here")
    if "val" not in splits.names and config.train.report == "best":
        raise config.error(("train", "report"), "best needs a validation split: set data.validation, or report: last")


def _settle_reading(config: Config, splits: Splits, preprocess: Preprocess, runtime: Runtime) -> None:
    """Settle how pictures are read and kept, and try the transforms."""
    data = config.data
    if data.workers == "auto":
        data.workers = cores_a_rank()
    if data.cache == "auto":
        data.cache = "off"
        crops_pictures = config.augment.resized_crop and preprocess.side == preprocess.size
        if splits.source.image_size is None and not crops_pictures:
            num_pictures = sum(len(images) for name in splits.names if (images := splits.load(name)))
            data.cache = runtime.from_main(lambda: cache.choose(num_pictures, preprocess))  # all the same
    try:
        if (transforms := _transforms(config)) is not None:
            transforms(torch.zeros(preprocess.channels, preprocess.side, preprocess.side, dtype=torch.uint8), 0)
    except Exception as error:  # of torchvision, on a picture that is not of its kind
        raise config.error(("augment", "transforms"), str(error)) from None


def _settle_model(config: Config, splits: Splits) -> None:
    """Take the network's sizes from the data set; ``ConfigError`` on a conflict or where they don't fit."""
    section = config.model
    data = config.data
    sizes = {"num_classes": len(splits.classes), "in_channels": data.channels, "image_size": data.size}
    for key, size in sizes.items():
        if key in section.model_fields_set and getattr(section, key) != size:
            raise config.error(("model", key), f"is {getattr(section, key)}, but {config.data.name} has {size}")
        setattr(section, key, size)
    network = MODELS.get(section.name)
    try:
        validate_options("model", section.name, section.options)
        with torch.device("meta"):
            network(**section.options)
    except (ValueError, ConfigError) as error:
        raise config.error(("model",), f"{section.name} does not fit {config.data.name}: {error}") from None
    losses: tuple[str, ...] = getattr(network, "losses", ("cross_entropy",))
    if config.loss.name not in losses:
        raise config.error(
            ("loss", "name"), f"{section.name} trains with {' or '.join(losses)}, not {config.loss.name}"
        )


def _renumbered(labels: torch.Tensor, classes: tuple[str, ...], wanted: list[str]) -> torch.Tensor:
    """Translate labels [N] of ``classes`` into those of ``wanted``, by name."""
    if list(classes) == wanted:
        return labels
    if strange := [name for name in classes if name not in wanted]:
        raise DataError(f"the network knows no class {', '.join(strange[:5])}; it knows {', '.join(wanted[:20])}")
    return torch.tensor([wanted.index(name) for name in classes])[labels]
