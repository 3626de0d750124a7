"""Checkpoints: plain, whole or absent, and checked before they are read.

A checkpoint is a ``torch.save`` of tensors, numbers and strings, read with ``weights_only=True`` alone. The sha256 of
all bytes before it stands at the file's end, in the comment that the zip format has room for.
"""

import hashlib
import os
import shutil
import struct
from dataclasses import dataclass, field, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnncli.errors import CheckpointError, MachineError
from cnncli.pipeline.preprocess import Preprocess
from cnncli.registry import MODELS

FORMAT = 1
MARK = b"sha256:"
COMMENT_BYTES = len(MARK) + 64


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

    def build(self) -> nn.Module:
        """Return the network with its weights, on the CPU, ready to evaluate."""
        try:
            model = MODELS.get(self.model)(**self.options)
            model.load_state_dict(self.weights)
        except Exception as error:  # whatever a stranger's options and shapes lead to
            raise CheckpointError(f"the checkpoint does not fit model {self.model}: {error}") from None
        return model.eval()


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write ``path`` whole or not at all, and keep what it held before as ``*.prev.pt``.

    Raises ``MachineError`` where it can't be written; what was there is still whole then.
    """
    plain = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    content = BytesIO()  # torch.save to a file would not say why it could not be written
    torch.save({"cnncli": FORMAT, **plain}, content)
    _seal(content)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            link(path, path.with_suffix(f".prev{path.suffix}"))
        temporary.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        size = f"{content.tell() / 1e6:,.1f} MB"
        raise MachineError(f"{path}: cannot write {size}: {error.strerror}; what was saved before is whole") from None
    finally:
        temporary.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, replacing what was there; a copy where links are unknown."""
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint to the CPU; ``CheckpointError`` if it is missing, damaged, newer, or none."""
    path = Path(path)
    _check_seal(path)
    try:
        plain = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # sealed, yet unreadable: whoever made it did not mean well, or not for us
        raise CheckpointError(f"{path}: not a checkpoint of cnncli: {str(error).splitlines()[0]}") from None
    if not isinstance(plain, dict) or "cnncli" not in plain:
        raise CheckpointError(f"{path}: not a checkpoint of cnncli")
    if plain["cnncli"] != FORMAT:
        raise CheckpointError(f"{path}: format {plain['cnncli']}, this cnncli reads {FORMAT}; update cnncli")
    try:
        return Checkpoint(
            **{"held_out": {}} | {field.name: plain[field.name] for field in fields(Checkpoint) if field.name in plain}
        )
    except TypeError:
        missing = [field.name for field in fields(Checkpoint) if field.name not in plain]
        raise CheckpointError(f"{path}: its {missing[0]} is missing") from None


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


def _seal(file: BytesIO) -> None:
    """Give the zip file a comment that holds the sha256 of all bytes before the comment."""
    file.seek(-2, os.SEEK_END)  # the end record's last field: the comment's length
    file.write(struct.pack("<H", COMMENT_BYTES))
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0, os.SEEK_END)
    file.write(MARK + digest.encode())


def _check_seal(path: Path) -> None:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size - COMMENT_BYTES, 0)
            file.seek(start)
            seal = file.read()
            file.seek(0)
            digest = hashlib.sha256()
            while start and (block := file.read(min(1 << 20, start))):
                start -= len(block)
                digest.update(block)
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    if not seal.startswith(MARK):
        raise CheckpointError(f"{path}: not a checkpoint of cnncli, or one that was cut short")
    if seal != MARK + digest.hexdigest().encode():
        raise CheckpointError(f"{path}: damaged: its bytes are not those that were written")


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":
        return  # where a directory can't be opened
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
