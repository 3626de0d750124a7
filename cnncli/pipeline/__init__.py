"""How images become batches."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """What a step sees: ``images`` float [B, C, H, W], normalised; ``labels`` int64 [B].

    ``targets`` are the labels, or shares of the classes [B, num_classes] where images were mixed. The batch takes
    ``size`` positions of the plan, on all ranks together; where it has none for this rank, its image does not count.
    ``num_skipped`` files were broken and are left out. In evaluation ``rows`` int64 [B], on the CPU, are the
    numbers of the images in the split.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor
    size: int
    counts: bool = True
    num_skipped: int = 0
    rows: Tensor | None = None

    def parts(self, number: int) -> "list[Batch]":
        """Cut the batch into up to ``number`` parts of about the same size."""
        if number == 1:
            return [self]
        cut = zip(*(tensor.chunk(number) for tensor in self[:3]), strict=True)
        return [Batch(images, labels, targets, self.size, self.counts) for images, labels, targets in cut]
