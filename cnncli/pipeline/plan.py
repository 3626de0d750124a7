"""An epoch is a plan: the order of the images and every random draw, a pure function of seed and epoch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class EpochPlan:
    """``order`` int64 [N] of images, and ``draws`` float32 [N, num_draws] from [0, 1), a row a position."""

    order: Tensor
    draws: Tensor


def plan_epoch(seed: int, epoch: int, num_images: int, num_draws: int) -> EpochPlan:
    """Shuffle ``num_images`` and draw ``num_draws`` numbers for each; the same on every machine."""
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(num_images)
    draws = random.random((num_images, num_draws), dtype=np.float32)
    return EpochPlan(torch.from_numpy(order), torch.from_numpy(draws))


def hold_out(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split images into those kept and those held out: ``share`` of each class, at least one of each.

    ``labels`` is int64 [N]; returns two sorted index tensors.
    """
    random = np.random.default_rng(seed)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in torch.unique(labels):
        members = torch.nonzero(labels == label).squeeze(1)
        count = max(round(share * len(members)), 1)
        held[members[torch.from_numpy(random.permutation(len(members))[:count])]] = True
    return torch.nonzero(~held).squeeze(1), torch.nonzero(held).squeeze(1)
