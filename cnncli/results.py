"""What a run came to: read from its directory or from a checkpoint, and scored on its test images."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cnncli.analysis.comparison import Result
from cnncli.checkpoint import Checkpoint, load
from cnncli.config.loading import Document
from cnncli.config.validation import load_config, validate
from cnncli.datasets import Images, Pictures
from cnncli.errors import CheckpointError, ConfigError, DataError
from cnncli.history import is_hopeless
from cnncli.resuming import MAY_CHANGE, flat
from cnncli.run import Run
from cnncli.scoring import experiment_of, predict
from cnncli.session import Display
from cnncli.text import counted
from cnncli.training.loop import Watch


@dataclass(frozen=True)
class Entry:
    """A run directory, or a checkpoint by itself, that takes part in a comparison; ``config`` is flat."""

    path: Path
    checkpoint: Path  # the one that train.report names; absent where no epoch is done
    config: dict[str, Any]
    history: list[dict[str, Any]]


def entry_of(path: Path) -> Entry:
    """Read what a run noted; ``CheckpointError`` where ``path`` is neither its directory nor a checkpoint."""
    if not path.is_dir():
        checkpoint = load(path)
        try:  # so that what it does not know of yet has its default, as in a run's config
            config = validate(Document(str(path), checkpoint.config)).model_dump() if checkpoint.config else {}
        except ConfigError as error:
            raise CheckpointError(f"this cnncli does not understand {error}") from None
        return Entry(path, path, flat(config), checkpoint.history)
    run = Run.open(path)
    noted = load_config(run.config)
    reported = run.best if noted.train.report == "best" else run.last
    return Entry(path, reported, flat(noted.model_dump()), run.read_history())


def result_of(entry: Entry, data: Path | None, device: str | None, display: Display) -> Result:
    """Score the checkpoint that a run reports on its test images, or those of ``data``, as ``cnn eval`` would.

    Where there are none the notes say so. Raises ``CheckpointError`` for one that cannot be read, ``DataError`` where
    ``data`` cannot.
    """
    recipe = {key: value for key, value in entry.config.items() if key not in {*MAY_CHANGE, "train.seed"}}
    is_whole, notes = _progress(entry)
    result = Result(
        config=entry.config,
        recipe=json.dumps(recipe, sort_keys=True) if recipe else str(entry.path),
        seed=entry.config.get("train.seed"),
        is_whole=is_whole,
        notes=notes,
    )
    if not entry.checkpoint.exists():
        return replace(result, notes=[*result.notes, f"it has no {entry.checkpoint.name} to score yet"])
    checkpoint = load(entry.checkpoint)
    result = replace(result, parameters=sum(weights.numel() for weights in checkpoint.build().parameters()))
    try:
        return _scored(result, checkpoint, data, device, display)
    except DataError as error:
        if data is not None:
            raise
        return replace(result, notes=[*result.notes, f"it cannot be scored: {error}"])


def _scored(result: Result, checkpoint: Checkpoint, data: Path | None, device: str | None, display: Display) -> Result:
    experiment = experiment_of(checkpoint, data, device, display.note)
    with experiment.listing_broken("test"):
        loader = experiment.eval_loader("test")
        if loader is None:
            raise DataError(f"there is no test split; there is {' and '.join(experiment.splits.names)}")
        metrics, predictions = predict(experiment, checkpoint, loader, Watch(progress=display.follow))
    notes, seen = list(result.notes), experiment.seen["test"]
    if data is None and checkpoint.data.get("test", seen) != seen:
        notes.append("its test images are others now than when it was trained")
    if metrics.num_skipped:
        notes.append(f"{counted(metrics.num_skipped, 'broken picture')} left out")
    rows: list[int] = predictions.rows.tolist()
    names = [_known_by(loader.files, row) for row in rows] if loader.files is not None else rows
    right = predictions.probabilities.argmax(1) == predictions.labels
    images = experiment.splits.load("test")
    assert images is not None
    return replace(
        result,
        test=metrics,
        images=_identity(images, experiment.splits.classes),
        right=dict(zip(names, right.tolist(), strict=True)),
        notes=notes,
    )


def _identity(images: Images, classes: Sequence[str]) -> str:
    """Return what tells labelled images from others, in whatever order their classes are numbered."""
    by_name = sorted(range(len(classes)), key=classes.__getitem__)
    labels = torch.tensor(by_name).argsort()[images.labels]
    named = json.dumps([classes[label] for label in by_name])
    return hashlib.sha256(f"{named} {replace(images, labels=labels).digest()}".encode()).hexdigest()


def _known_by(files: Pictures, row: int) -> tuple[str, str]:
    """Return by what a picture is known again elsewhere: its name and what is in it, as 0.jpg is in every folder."""
    return files.name(row), hashlib.sha256(files.path(row).read_bytes()).hexdigest()


def _progress(entry: Entry) -> tuple[bool, list[str]]:
    """Return whether a run, if it is one, has come to its end, and say where it has not done all its epochs."""
    done, wanted = (entry.history[-1]["epoch"] if entry.history else 0), entry.config.get("train.epochs", 0)
    if not entry.path.is_dir() or done >= wanted:
        return True, []
    if is_hopeless(entry.history, entry.config.get("train.patience")):
        return True, [f"it ended early, after {counted(done, 'epoch')}"]
    return False, [f"it has done {done} of its {counted(wanted, 'epoch')}"]
