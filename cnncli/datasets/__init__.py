"""Sources of images: one file a data set, named after it."""

import hashlib
import os
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
MAX_CLASSES = 100_000  # as many as the models take


@dataclass(frozen=True)
class Split:
    """The images of one split, in memory: ``images`` uint8 [N, C, H, W], ``labels`` int64 [N]."""

    images: "Tensor"
    labels: "Tensor"

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: "Tensor") -> "Split":
        """Return some of the images, by their numbers."""
        return Split(self.images[rows], self.labels[rows])

    def digest(self) -> str:
        """Return what tells these images from others, in a word."""
        digest = hashlib.sha256(self.labels.numpy().tobytes())
        digest.update(self.images.contiguous().numpy().data)
        return digest.hexdigest()


class Names:
    """File names relative to a folder, as the file system has them, in one block of memory.

    A million Python strings would take 100 MB, and as much again in each worker process that counts references.
    """

    def __init__(self, names: Iterable[bytes]) -> None:
        block, ends = bytearray(), array("q", [0])
        for name in names:
            block += name
            ends.append(len(block))
        self._block, self._ends = np.frombuffer(block, np.uint8), np.frombuffer(ends, np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:
        return self._block[self._ends[number] : self._ends[number + 1]].tobytes()


@dataclass(frozen=True)
class Pictures:
    """The pictures of one split, on disk: row r is the file ``names[rows[r]]`` in ``root``, ``labels`` int64 [N]."""

    root: str
    names: Names
    rows: "Tensor"
    labels: "Tensor"

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: "Tensor") -> "Pictures":
        """Return some of the pictures, by their numbers; the names are shared."""
        return replace(self, rows=self.rows[rows], labels=self.labels[rows])

    def digest(self) -> str:
        """Return what tells these pictures from others, in a word: by their names and labels, without opening them."""
        digest = hashlib.sha256(self.labels.numpy().tobytes())
        for row in self.rows.tolist():
            digest.update(self.names[row] + b"\0")
        return digest.hexdigest()

    def name(self, row: int) -> str:
        """Return a file's name relative to ``root``; bytes that are no UTF-8 survive as surrogates."""
        return os.fsdecode(self.names[int(self.rows[row])])

    def path(self, row: int) -> Path:
        """Return where a file is."""
        return Path(self.root, self.name(row))

    def file(self, row: int) -> bytes:
        """Return where a file is, as the file system has it: for loops, since ``Path`` takes as long as to open it."""
        return os.path.join(os.fsencode(self.root), self.names[int(self.rows[row])])  # noqa: PTH118


Images = Split | Pictures


class Source(Protocol):
    """What a data set tells of itself before any image is read, and its splits when asked.

    The keywords of its ``__init__`` are its options in a config.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        ...

    @property
    def channels(self) -> int | None:
        """Channels of an image; ``None`` where each file may have others."""
        ...

    @property
    def image_size(self) -> int | None:
        """Pixels a side of square images; ``None`` where each file may have another size."""
        ...

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel, or one for all, of pixels scaled to [0, 1]; a config may name others."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """Per channel, or one for all, of pixels scaled to [0, 1]; a config may name others."""
        ...

    @property
    def splits(self) -> tuple[SplitName, ...]:
        """The splits there are."""
        ...

    def load(self, split: SplitName, limit: int | None = None) -> Images:
        """Read or list one split, at most the first ``limit`` images of each class; ``DataError`` if it is broken."""
        ...


T = TypeVar("T", Split, Pictures)


def first_of_each_class(images: T, limit: int | None) -> T:
    """Return the first ``limit`` images of each class, in their order; all of them without a limit."""
    if limit is None:
        return images
    import torch

    by_class = images.labels.argsort(stable=True)
    counts = images.labels.bincount()
    starts = (counts.cumsum(0) - counts)[images.labels[by_class]]  # where in it the class of each begins
    return images.take(by_class[torch.arange(len(images)) - starts < limit].sort().values)
