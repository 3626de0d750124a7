"""What a network makes of images, to be measured."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Predictions:
    """What a network makes of the images of a split, on the CPU.

    ``rows`` int64 [N] are the numbers of the images, rising; ``labels`` int64 [N] are right, and ``probabilities``
    float32 [N, num_classes] are the softmax of the logits.
    """

    rows: Tensor
    labels: Tensor
    probabilities: Tensor
