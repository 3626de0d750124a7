"""How images become batches."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """What a step sees: ``images`` float [B, C, H, W], normalised; ``labels`` int64 [B]."""

    images: Tensor
    labels: Tensor
