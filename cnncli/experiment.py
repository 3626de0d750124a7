"""A config made real: its data, its network, its machine; and what can be done with them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from cnncli.checkpoint import Checkpoint
from cnncli.config.loading import Document
from cnncli.config.schema import Config
from cnncli.config.validation import validate, validate_options
from cnncli.datasets import Source, Split, SplitName
from cnncli.errors import CheckpointError, ConfigError, DataError
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.plan import hold_out
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.resident import ResidentLoader
from cnncli.registry import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES
from cnncli.runtime import Runtime, choose_runtime
from cnncli.training.loop import evaluate
from cnncli.training.meters import Metrics
from cnncli.training.state import TrainState


@dataclass(frozen=True)
class Experiment:
    """What a config stands for. ``config`` is settled: nothing is left that data or machine decide."""

    config: Config
    source: Source
    preprocess: Preprocess
    runtime: Runtime

    @classmethod
    def prepare(cls, config: Config) -> "Experiment":
        """Find out what the config leaves open, and write it into a copy; reads no image.

        Raises ``ConfigError`` where model and data contradict each other, ``MachineError`` for an absent device.
        """
        config = config.model_copy(deep=True)
        source = DATASETS.get(config.data.name)(**config.data.options)
        _settle_data(config, source)
        _settle_model(config, source)
        wanted = config.runtime
        runtime = choose_runtime(wanted.device, wanted.precision, wanted.memory_format, wanted.threads)
        wanted.device, wanted.threads = str(runtime.device), runtime.threads
        wanted.memory_format = runtime.memory_format
        assert config.data.mean is not None
        assert config.data.std is not None
        preprocess = Preprocess(source.image_size, source.channels, tuple(config.data.mean), tuple(config.data.std))
        return cls(config, source, preprocess, runtime)

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, data: Path | None = None, device: str | None = None) -> "Experiment":
        """Return what a checkpoint was trained with, but on the images of ``data`` (.npz) or another device.

        Raises ``DataError`` where the images are not of the size that the network takes.
        """
        try:
            config = validate(Document("the checkpoint's config", checkpoint.config))
        except ConfigError as error:
            raise CheckpointError(f"this cnncli does not understand {error}") from None
        if data is None:
            source = DATASETS.get(config.data.name)(**config.data.options)
        else:
            source = DATASETS.get("npz")(**{"path": str(data.absolute())})
            config.data.limit, config.data.validation = None, 0.0
        preprocess = Preprocess.from_dict(checkpoint.preprocess)
        if (source.channels, source.image_size) != (preprocess.channels, preprocess.size):
            raise DataError(
                f"the images are {source.channels}×{source.image_size}×{source.image_size}, but the network takes"
                f" {preprocess.channels}×{preprocess.size}×{preprocess.size}"
            )
        wanted = config.runtime
        if device is None or device == wanted.device:
            runtime = choose_runtime(wanted.device, wanted.precision, wanted.memory_format, wanted.threads)
        else:
            runtime = choose_runtime(device, wanted.precision)
        return cls(config, source, preprocess, runtime)

    def build_model(self) -> nn.Module:
        """Return the network with first weights drawn from ``train.seed``, in its place on the device."""
        torch.manual_seed(self.config.train.seed)
        return self.runtime.place(MODELS.get(self.config.model.name)(**self.config.model.options))

    def build_criterion(self) -> nn.Module:
        """Return the loss, on the device."""
        loss = self.config.loss
        return LOSSES.get(loss.name)(**loss.options).to(self.runtime.device)

    def build_state(self, num_images: int) -> TrainState:
        """Return the state before the first step of training on ``num_images``."""
        config = self.config
        model = self.build_model()
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = OPTIMIZERS.get(config.optimizer.name)(trained, **config.optimizer.options)
        steps_per_epoch = -(-num_images // config.train.batch_size)
        total_steps = steps_per_epoch * config.train.epochs
        schedule = SCHEDULES.get(config.schedule.name)(total_steps, steps_per_epoch, **config.schedule.options)
        schedule.warmup_steps = round(config.schedule.warmup_epochs * steps_per_epoch)
        return TrainState(
            model, self.build_criterion(), optimizer, schedule, self.runtime, config.train.clip_norm, config.train.ema
        )

    def load_train_and_val(self) -> tuple[Split, Split | None]:
        """Read the images to train on, and those to validate on: the data set's own, or held out, or ``None``."""
        data = self.config.data
        whole = self._load("train")
        if "val" in self.source.splits:
            return whole, self._load("val")
        if data.validation == 0:
            return whole, None
        kept, held = hold_out(whole.labels, data.validation, self.config.train.seed)
        if not len(kept):
            problem = f"leaves none of {len(whole)} images to train on, as it takes at least one of each class"
            raise self.config.error(("data", "validation"), problem)
        return Split(whole.images[kept], whole.labels[kept]), Split(whole.images[held], whole.labels[held])

    def load_split(self, name: SplitName) -> Split | None:
        """Read one split as training sees it; ``None`` if there is none of that name."""
        if name == "test":
            return self._load("test") if "test" in self.source.splits else None
        train, val = self.load_train_and_val()
        return train if name == "train" else val

    def train_loader(self, split: Split) -> ResidentLoader:
        """Return the loader that shuffles and augments."""
        config = self.config
        augment = Augment(config.augment.shift, config.augment.padding, config.augment.flip)
        return ResidentLoader(split, self.preprocess, self.runtime, config.train.batch_size, config.train.seed, augment)

    def eval_loader(self, split: Split) -> ResidentLoader:
        """Return the loader that evaluation uses."""
        return ResidentLoader(split, self.preprocess, self.runtime, self.config.train.eval_batch_size)

    def score(self, checkpoint: Checkpoint, split: Split) -> Metrics:
        """Evaluate a checkpoint on a split whose labels are those of this experiment's data set."""
        model = self.runtime.place(checkpoint.build())
        labels = _renumbered(split.labels, self.source.classes, checkpoint.classes)
        loader = self.eval_loader(Split(split.images, labels))
        with self.runtime.memory_guard(loader.batch_size):
            return evaluate(model, self.build_criterion(), loader.in_order(), self.runtime)

    def checkpoint(self, state: TrainState) -> Checkpoint:
        """Return all that a file should hold of a run at this moment."""
        return Checkpoint(
            model=self.config.model.name,
            options=self.config.model.options,
            weights=state.evaluated_model.state_dict(),
            classes=list(self.source.classes),
            preprocess=self.preprocess.to_dict(),
            config=self.config.model_dump(),
            state=state.state_dict(),
        )

    def _load(self, split: SplitName) -> Split:
        if split not in self.source.splits:
            raise DataError(f"the data have no {split} split; they have {' and '.join(self.source.splits)}")
        loaded = self.source.load(split, self.config.data.limit)
        if not len(loaded):
            raise DataError(f"the {split} split holds no images")
        return loaded


def _settle_data(config: Config, source: Source) -> None:
    """Take mean and standard deviation from the data set where the config has none."""
    data = config.data
    if config.augment.shift >= source.image_size:
        raise config.error(("augment", "shift"), f"must be below the {source.image_size} pixels of a side")
    if "val" not in source.splits and data.validation == 0 and config.train.report == "best":
        raise config.error(("train", "report"), "best needs a validation split: set data.validation, or report: last")
    for key, own in (("mean", source.mean), ("std", source.std)):
        given = getattr(data, key)
        if given is None:
            setattr(data, key, list(own))
        elif len(given) != source.channels:
            raise config.error(
                ("data", key), f"{len(given)} values, but images of {data.name} have {source.channels} channels"
            )


def _settle_model(config: Config, source: Source) -> None:
    """Take the network's sizes from the data set; ``ConfigError`` on a conflict or where they don't fit."""
    section = config.model
    sizes = {"num_classes": len(source.classes), "in_channels": source.channels, "image_size": source.image_size}
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
