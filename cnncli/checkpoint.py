"""Checkpoints: plain, whole or absent, and checked before they are read.

A checkpoint is a ``torch.save`` of tensors, numbers and strings, read with ``weights_only=True`` alone. The sha256 of
all bytes before it stands at the file's end, in the comment that the zip format has room for.
"""

import errno
import hashlib
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch
from torch import Tensor, nn

from cnncli import files
from cnncli.config.validation import validate_options
from cnncli.contents import check_contents
from cnncli.errors import CheckpointError, MachineError
from cnncli.magic import other_kind
from cnncli.pipeline.preprocess import Preprocess
from cnncli.registry import MODELS
from cnncli.text import one_line
from cnncli.trust import read_archive

FORMAT = 2
MARK = b"sha256:"
COMMENT_BYTES = len(MARK) + 64


class Damaged(CheckpointError):
    """A checkpoint that is missing, or not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: a network with all that is needed to use it, and what is needed to train on."""

    model: str
    options: dict[str, Any]
    weights: dict[str, Tensor]  # those to evaluate: the average, where there is one
    classes: list[str]
    preprocess: dict[str, Any]
    config: dict[str, Any]
    state: dict[str, Any]  # TrainState.state_dict()
    held_out: dict[str, list[str]] = field(default_factory=dict)  # files kept from training, by split
    history: list[dict[str, Any]] = field(default_factory=list)  # the epochs so far, as in history.jsonl
    data: dict[str, dict[str, Any]] = field(default_factory=dict)  # what tells the images from others, by split

    def build(self) -> nn.Module:
        """Return the network with its weights, on the CPU, ready to evaluate."""
        try:
            options = validate_options("model", self.model, self.options)
            self._check_fit(options)
            model = MODELS.get(self.model)(**options)
            model.load_state_dict(self.weights)
        except Exception as error:  # whatever a stranger's options and shapes lead to
            raise CheckpointError(f"the checkpoint does not fit model {self.model}: {error}") from None
        return model.eval()

    def _check_fit(self, options: dict[str, Any]) -> None:
        """Raise ``ValueError`` where network, weights, classes and images are not for each other; takes no memory."""
        sizes = {"num_classes": len(self.classes), "in_channels": self.preprocess["channels"]}
        for name, size in (sizes | {"image_size": self.preprocess["size"]}).items():
            if options.get(name, size) != size:
                raise ValueError(f"its {name} is {options[name]}, but the checkpoint's own is {size}")
        with torch.device("meta"):
            wanted = MODELS.get(self.model)(**options).state_dict()
        for name in [*wanted, *self.weights]:
            here, there = (_shape(weights.get(name)) for weights in (wanted, self.weights))
            if here != there:
                raise ValueError(f"{name} is {here} there, but {there} in the file")


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write ``path`` whole or not at all, and keep what it held before as ``*.prev.pt``.

    Raises ``MachineError`` where it can't be written; what was there is still whole then.
    """
    plain = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    size = 0
    try:
        with files.whole(path, check=partial(_make_way, path)) as file:
            sealed = _Sealed(file)
            torch.save({"cnncli": FORMAT, **plain}, sealed)  # type: ignore[arg-type]  # it needs no more of a file
            size = sealed.size
            sealed.close()
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno == errno.ENOSPC and (missing := size - shutil.disk_usage(path.parent).free) > 0:
            why += f", {missing / 1e6:,.1f} MB are missing"
        raise MachineError(
            f"{path}: cannot write {size / 1e6:,.1f} MB: {why}; what was saved before is whole"
        ) from None


def previous(path: Path) -> Path:
    """Return where the generation before the one at ``path`` is kept."""
    return path.with_suffix(f".prev{path.suffix}")


def _make_way(path: Path, written: Path) -> None:
    """Keep the present generation as the one before once the next is known to be what was meant."""
    try:
        with written.open("rb") as file:
            _check_seal(file)
    except CheckpointError:
        raise OSError(errno.EIO, "what was written reads back as something else") from None
    if path.exists():
        files.link(path, previous(path))


class _Sealed:
    """Writes what ``torch.save`` gives it to a file, with the sha256 of all of it in the zip's comment.

    The comment's length is the last field of a zip, two bytes, which are therefore held back until the end. An error
    is raised by ``close`` alone: torch would not say what it was.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.size = file, hashlib.sha256(), 0
        self._held = b""
        self._error: OSError | None = None

    def write(self, data: memoryview) -> int:
        """Take in bytes; never fails."""
        if len(data) >= 2:
            self._put(self._held)
            self._put(data[:-2])
            self._held = bytes(data[-2:])
        else:
            waiting = self._held + bytes(data)
            self._put(waiting[:-2])
            self._held = waiting[-2:]
        return len(data)

    def flush(self) -> None:
        """Do nothing: the file is flushed when it is whole."""

    def close(self) -> None:
        """Write the comment; raise the first ``OSError`` there was."""
        assert self._held == b"\0\0", "torch.save wrote a comment of its own"
        self._put(struct.pack("<H", COMMENT_BYTES))
        self._put(MARK + self.digest.hexdigest().encode())
        if self._error is not None:
            raise self._error

    def _put(self, data: bytes | memoryview) -> None:
        self.digest.update(data)
        self.size += len(data)
        if self._error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self._error = error


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint to the CPU; ``CheckpointError`` if it is missing, damaged, newer, or none."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            inside = [path / "checkpoints" / name for name in ("best.pt", "last.pt")]
            found = [f"; name the checkpoint in it: {file}" for file in inside if file.is_file()]
            raise CheckpointError("".join(["not a file", *found[:1]]))
        with path.open("rb") as file:  # once: what is checked is what is read
            plain = read_archive(file, _check_seal(file))
        return _checked(plain)
    except FileNotFoundError:
        raise Damaged(f"no checkpoint at {path}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    except CheckpointError as error:
        raise type(error)(f"{path}: {error}") from None
    except Exception as error:  # sealed, yet unreadable: whoever made it did not mean well, or not for us
        raise CheckpointError(f"{path}: not a checkpoint of cnncli: {one_line(str(error))[:200]}") from None


def _checked(plain: Any) -> Checkpoint:
    """Return what was read as a checkpoint; ``CheckpointError`` if it is none, newer, or lacks something."""
    if not isinstance(plain, dict) or type(plain.get("cnncli")) is not int:
        raise CheckpointError("not a checkpoint of cnncli")
    if (found := plain["cnncli"]) != FORMAT:
        raise CheckpointError(f"format {found}, but this cnncli reads {FORMAT}; use the version that wrote it")
    check_contents(plain)
    try:
        return Checkpoint(**{field.name: plain[field.name] for field in fields(Checkpoint) if field.name in plain})
    except TypeError:
        missing = [field.name for field in fields(Checkpoint) if field.name not in plain]
        raise CheckpointError(f"its {missing[0]} is missing") from None


def _shape(weights: Tensor | None) -> str:
    return "absent" if weights is None else f"{str(weights.dtype).removeprefix('torch.')} {list(weights.shape)}"


def load_newest(path: Path, warn: Callable[[str], None]) -> Checkpoint:
    """Read ``path``, or with a warning the generation before it where that one is damaged or missing.

    Raises ``CheckpointError`` if neither can be read, or the newest is whole but not for us, or imported.
    """
    try:
        return _load_training(path)
    except Damaged as error:
        problem = error
    try:
        checkpoint = _load_training(previous(path))
    except CheckpointError as error:
        raise CheckpointError(f"{problem}\n{error}\nno generation of this run can be read; begin a new one") from None
    warn(f"{problem}; taking the generation before, {previous(path)}")
    return checkpoint


def _load_training(path: Path) -> Checkpoint:
    checkpoint = load(path)
    if not checkpoint.state:
        raise CheckpointError(f"{path} was imported: it holds weights, and no training to go on with")
    return checkpoint


@dataclass(frozen=True)
class Network:
    """A trained network ready for use: ``classes[network.model(network.preprocess(image)).argmax()]``."""

    model: nn.Module
    classes: list[str]
    preprocess: Preprocess


def load_network(path: str | Path) -> Network:
    """Read what a user of the network needs: model, class names and preprocessing."""
    checkpoint = load(path)
    return Network(checkpoint.build(), checkpoint.classes, Preprocess.from_dict(checkpoint.preprocess))


def _check_seal(file: IO[bytes]) -> int:
    """Return how many bytes come before the seal; ``CheckpointError`` if it is missing or broken."""
    end = max(file.seek(0, os.SEEK_END) - COMMENT_BYTES, 0)
    file.seek(end)
    seal = file.read()
    if not seal.startswith(MARK):
        raise Damaged(f"not a checkpoint of cnncli, {other_kind(file) or 'or one that was cut short'}")
    file.seek(0)
    digest, left = hashlib.sha256(), end
    while left and (block := file.read(min(1 << 20, left))):
        left -= len(block)
        digest.update(block)
    if seal != MARK + digest.hexdigest().encode():
        raise Damaged("damaged: its bytes are not those that were written")
    return end
