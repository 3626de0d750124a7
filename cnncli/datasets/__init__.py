"""Sources of images: one file a data set, named after it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

SplitName = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Split:
    """The images of one split, in memory: ``images`` uint8 [N, C, H, W], ``labels`` int64 [N]."""

    images: "Tensor"
    labels: "Tensor"

    def __len__(self) -> int:
        return len(self.labels)


class Source(Protocol):
    """What a data set tells of itself before any image is read, and its splits when asked.

    The keywords of its ``__init__`` are its options in a config.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        ...

    @property
    def channels(self) -> int:
        """Channels of an image."""
        ...

    @property
    def image_size(self) -> int:
        """Pixels a side; images are square."""
        ...

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel, of pixels scaled to [0, 1]; a config may name others."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """Per channel, of pixels scaled to [0, 1]; a config may name others."""
        ...

    @property
    def splits(self) -> tuple[SplitName, ...]:
        """The splits there are."""
        ...

    def load(self, split: SplitName, limit: int | None = None) -> Split:
        """Read one split, at most the first ``limit`` images of each class; ``DataError`` if it is broken."""
        ...


def first_of_each_class(split: Split, limit: int | None) -> Split:
    """Return the first ``limit`` images of each class, in their order; all of them without a limit."""
    if limit is None:
        return split
    import torch

    by_class = split.labels.argsort(stable=True)
    counts = split.labels.bincount()
    starts = (counts.cumsum(0) - counts)[split.labels[by_class]]  # where in it the class of each begins
    chosen = by_class[torch.arange(len(split)) - starts < limit].sort().values
    return Split(split.images[chosen], split.labels[chosen])
