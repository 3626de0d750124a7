"""A checkpoint and the images that it is scored on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnncli.analysis.predictions import Predictions
from cnncli.analysis.tencrop import TenCrop
from cnncli.checkpoint import Checkpoint
from cnncli.config.loading import Document
from cnncli.config.schema import Config
from cnncli.config.validation import validate
from cnncli.datasets import Pictures
from cnncli.errors import CheckpointError, ConfigError, DataError
from cnncli.experiment import Experiment
from cnncli.pipeline import Batch
from cnncli.pipeline.loader import Loader
from cnncli.pipeline.preprocess import Preprocess, centred
from cnncli.registry import DATASETS, MODELS
from cnncli.runtime import choose_runtime, cores_a_rank
from cnncli.splits import Splits
from cnncli.text import listed
from cnncli.training.loop import Watch, evaluate, watched
from cnncli.training.meters import Metrics


def experiment_of(
    checkpoint: Checkpoint,
    data: Path | None = None,
    device: str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Experiment:
    """Return what a checkpoint was trained with, but on the images of ``data`` (.npz, a folder) or another device.

    Raises ``DataError`` where arrays are not of the size that the network takes, or an imported checkpoint has no
    images of its own.
    """
    try:
        config = validate(Document("the checkpoint's config", checkpoint.config or _config_for(checkpoint, data)))
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
    if list(splits.classes) != checkpoint.classes:
        _matched(list(splits.classes), checkpoint.classes)  # before files of a class that is gone are looked for
    source = splits.source
    pair = {source.channels or preprocess.channels, preprocess.channels}
    if len(pair) > 1 and pair != {1, 3}:
        kind = CheckpointError if data is None else DataError  # it contradicts itself, or is given other images
        raise kind(f"the images have {source.channels} channels, but the network takes {preprocess.channels}")
    if source.image_size is not None and data is not None:
        given = (source.channels, source.image_size)
        if given != (preprocess.channels, preprocess.side):
            raise DataError(
                f"the images are {given[0]}×{given[1]}×{given[1]}, but the network takes"
                f" {preprocess.channels}×{preprocess.side}×{preprocess.side}"
            )
    return Experiment(config, splits, preprocess, runtime, note, may_write=False)


def score(
    experiment: Experiment,
    checkpoint: Checkpoint,
    loader: Loader,
    watch: Watch,
    ten_crop: bool = False,
    keep: Callable[[Batch, Tensor], None] = lambda batch, logits: None,
) -> Metrics:
    """Evaluate a checkpoint on a split of the experiment; ``keep`` is given each batch and its logits.

    With ``ten_crop`` the network sees five places of the canvas and their mirror images, and their mean counts. Classes
    are matched by name; ``DataError`` lists those that only the data or only the network has.
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
    loader.labels = _renumbered(experiment, checkpoint, loader.labels)
    with experiment.runtime.guard(loader.recipe.batch_size):
        batches = watched(loader, watch, "evaluation", ten_crop)
        return evaluate(model, experiment.build_criterion(), batches, experiment.runtime, keep)


def predict(
    experiment: Experiment, checkpoint: Checkpoint, loader: Loader, watch: Watch, ten_crop: bool = False
) -> tuple[Metrics, Predictions]:
    """Evaluate as :func:`score` does, and return as well what is predicted of each image, on all ranks."""
    kept: list[tuple[Tensor, Tensor]] = []

    def keep(batch: Batch, logits: Tensor) -> None:
        assert batch.rows is not None
        kept.append((batch.rows, logits.float()))  # which stay on the device

    metrics = score(experiment, checkpoint, loader, watch, ten_crop, keep)
    empty = (torch.empty(0, dtype=torch.long), torch.empty(0, len(checkpoint.classes)))
    mine = [torch.cat([part.cpu() for part in parts]) for parts in zip(empty, *kept, strict=True)]
    rows, logits = (torch.cat(parts) for parts in zip(*experiment.runtime.of_all(mine), strict=True))
    order = rows.argsort()
    rows = rows[order]
    return metrics, Predictions(rows, loader.labels[rows], logits[order].softmax(1))


def pick_test_images(experiment: Experiment, checkpoint: Checkpoint, rows: list[int]) -> tuple[Tensor, list[int]]:
    """Return images of the test split by their numbers as the network sees them, float32 [N, C, S, S], and labels.

    Raises ``DataError`` where there is no such split or image, or a picture cannot be read.
    """
    images, preprocess = experiment.splits.load("test"), experiment.preprocess
    if images is None:
        raise DataError("there is no test split: the run was trained without one")
    if beyond := [row for row in rows if row >= len(images)]:
        raise DataError(f"there is no image {beyond[0]} in the test split: it has {len(images):,}, counted from 0")
    taken = images.take(torch.tensor(rows))
    if isinstance(taken, Pictures):
        pixels = torch.stack([preprocess.pixels(taken.path(row)) for row in range(len(taken))])
    else:
        pixels = centred(preprocess.fit(taken.images), preprocess.size)
    return preprocess.normalise(pixels), _renumbered(experiment, checkpoint, taken.labels).tolist()


def _renumbered(experiment: Experiment, checkpoint: Checkpoint, labels: Tensor) -> Tensor:
    """Return labels as the network numbers its classes."""
    classes = list(experiment.splits.classes)
    if classes == checkpoint.classes:
        return labels
    experiment.note("the data have the classes in another order than the network; they are matched by name")
    return _matched(classes, checkpoint.classes)[labels]


def _config_for(checkpoint: Checkpoint, data: Path | None) -> dict[str, Any]:
    """Return the config of a checkpoint that no run of ours made: its network on other images, defaults elsewhere."""
    if data is None:
        raise DataError("the checkpoint was imported, and names no images: say which, with --data PATH")
    images = {"name": "image_folder", "root": str(data)} if data.is_dir() else {"name": "npz", "path": str(data)}
    losses: tuple[str, ...] = getattr(MODELS.get(checkpoint.model), "losses", ("cross_entropy",))
    return {
        "data": {**images, "cache": "off"},
        "model": {**checkpoint.options, "name": checkpoint.model},
        "loss": {"name": losses[0]},
    }


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


def _matched(classes: list[str], wanted: list[str]) -> Tensor:
    """Return the label int64 [num_classes] that each of ``classes`` has among those ``wanted``, by name."""
    number = {name: label for label, name in enumerate(wanted)}
    strange = [name for name in classes if name not in number]
    missing = sorted(number.keys() - set(classes), key=number.__getitem__)
    if strange or missing:
        only = {"only the data have": strange, "only the network knows": missing}
        lines = [f"  {whose} {_listed(names)}" for whose, names in only.items() if names]
        raise DataError(
            "the classes of the data are not those of the network:\n"
            + "\n".join(lines)
            + "\nrename folders, or what is in 'classes' of an .npz file; a class may be there without images"
        )
    return torch.tensor([number[name] for name in classes])


def _listed(names: list[str]) -> str:
    return listed(names[:20]) + f" and {len(names) - 20:,} more" * (len(names) > 20)
