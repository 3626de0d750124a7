"""A checkpoint and the images that it is scored on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cnncli.analysis.tencrop import TenCrop
from cnncli.checkpoint import Checkpoint
from cnncli.config.loading import Document
from cnncli.config.schema import Config
from cnncli.config.validation import validate
from cnncli.errors import CheckpointError, ConfigError, DataError
from cnncli.experiment import Experiment
from cnncli.pipeline.loader import Loader
from cnncli.pipeline.preprocess import Preprocess
from cnncli.registry import DATASETS
from cnncli.runtime import choose_runtime, cores_a_rank
from cnncli.splits import Splits
from cnncli.text import listed
from cnncli.training.loop import evaluate, pausing
from cnncli.training.meters import Metrics


def experiment_of(
    checkpoint: Checkpoint,
    data: Path | None = None,
    device: str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Experiment:
    """Return what a checkpoint was trained with, but on the images of ``data`` (.npz, a folder) or another device.

    Raises ``DataError`` where arrays are not of the size that the network takes.
    """
    try:
        config = validate(Document("the checkpoint's config", checkpoint.config))
    except ConfigError as error:
        raise CheckpointError(f"this cnncli does not understand {error}") from None
    _disarm(config)
    preprocess = Preprocess.from_dict(checkpoint.preprocess)
    wanted = config.runtime
    if device is None or device == wanted.device:
        runtime = choose_runtime(**wanted.model_dump())
    else:
        runtime = choose_runtime(device, wanted.precision, deterministic=wanted.deterministic)
    with runtime.in_turn():
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
    return Experiment(config, splits, preprocess, runtime, note)


def score(
    experiment: Experiment,
    checkpoint: Checkpoint,
    loader: Loader,
    ten_crop: bool = False,
    pause: Callable[[], None] = lambda: None,
) -> Metrics:
    """Evaluate a checkpoint on images whose classes are those of the experiment's data set.

    With ``ten_crop`` the network sees five places of the canvas and their mirror images, and their mean counts.
    ``pause`` is called before each batch.
    """
    model = experiment.runtime.place(checkpoint.build())
    if ten_crop:
        if experiment.preprocess.side == experiment.preprocess.size:
            raise ConfigError(
                f"ten crops of {experiment.preprocess.size} pixels need a larger data.canvas to be taken from,"
                " which this network was not trained with"
            )
        if experiment.config.loss.name != "cross_entropy":
            raise ConfigError(f"ten crops average probabilities, which {experiment.config.loss.name} has none of")
        model = TenCrop(model, experiment.preprocess.size)
    loader.labels = _renumbered(loader.labels, experiment.splits.classes, checkpoint.classes)
    with experiment.runtime.guard(loader.recipe.batch_size):
        batches = pausing(loader.in_order(canvases=ten_crop), loader.num_batches_in_order, pause)
        return evaluate(model, experiment.build_criterion(), batches, experiment.runtime)


def _disarm(config: Config) -> None:
    """Take from a stranger's config what would write to a folder it names, or start processes without end."""
    if "download" in config.data.options:
        setattr(config.data, "download", False)  # noqa: B010  # an option, which the class knows only at run time
    asked, cores = config.data.workers, cores_a_rank()
    config.data.workers = cores if asked == "auto" else min(asked, cores)


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


def _renumbered(labels: torch.Tensor, classes: tuple[str, ...], wanted: list[str]) -> torch.Tensor:
    """Translate labels [N] of ``classes`` into those of ``wanted``, by name."""
    if list(classes) == wanted:
        return labels
    if strange := [name for name in classes if name not in wanted]:
        raise DataError(f"the network knows no class {listed(strange[:5])}; it knows {listed(wanted[:20])}")
    return torch.tensor([wanted.index(name) for name in classes])[labels]
