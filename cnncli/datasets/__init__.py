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

    seen = torch.nn.functional.one_hot(split.labels).cumsum(0)  # [N, classes]: of each class so far
    chosen = seen.gather(1, split.labels[:, None]).squeeze(1) <= limit
    return Split(split.images[chosen], split.labels[chosen])
