"""An epoch is a plan: the order of the images and every random draw, a pure function of seed and epoch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DRAWS_A_BLOCK = 8  # float32 numbers that one step of Philox's counter yields
ROWS_AT_ONCE = 8192  # of which draws are made: a generator takes as long to set up as 1,000 rows


@dataclass(frozen=True)
class Rows:
    """What one rank takes of one global batch of ``size`` positions of the plan.

    ``images`` int64 [B] are their numbers; ``draws`` float32 [B, num_draws] from [0, 1) and ``seeds`` int64 [B] are
    theirs alone, and ``None`` where nothing is random. A rank for which a batch is too small gets one image all the
    same, so that it can take part in the step, with ``counts`` false.
    """

    size: int
    images: Tensor
    draws: Tensor | None = None
    seeds: Tensor | None = None
    counts: bool = True


@dataclass(frozen=True)
class EpochPlan:
    """``order`` int64 [N] of images; draws are made for the positions that are asked for."""

    seed: int
    epoch: int
    order: Tensor

    def draws(self, start: int, stop: int, num_draws: int) -> Tensor:
        """Return float32 [stop - start, num_draws] from [0, 1): a row depends on its position alone."""
        blocks = -(-num_draws // DRAWS_A_BLOCK)
        counter = np.random.Philox(np.random.SeedSequence((self.seed, self.epoch, 1))).advance(start * blocks)
        rows = np.random.Generator(counter).random((stop - start, blocks * DRAWS_A_BLOCK), dtype=np.float32)
        return torch.from_numpy(rows[:, :num_draws])

    def seeds(self, start: int, stop: int) -> Tensor:
        """Return int64 [stop - start], each from 0 to 2⁶³ − 1 and of its position alone."""
        counter = np.random.Philox(np.random.SeedSequence((self.seed, self.epoch, 2))).advance(start)
        return torch.from_numpy(counter.random_raw(4 * (stop - start))[::4].astype(np.int64) & (2**63 - 1))

    def batches(
        self, batch_size: int, num_draws: int, position: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[Rows]:
        """Yield what follows the first ``position`` images, batch by batch: every ``world_size``-th for this rank."""
        several = batch_size * max(ROWS_AT_ONCE // batch_size, 1)
        for begin in range(position, len(self.order), several):
            end = min(begin + several, len(self.order))
            columns = self.order[begin:end], self.draws(begin, end, num_draws), self.seeds(begin, end)
            for images, draws, seeds in zip(*(torch.split(column, batch_size) for column in columns), strict=True):
                counts, size = rank < len(images), len(images)
                mine = slice(rank, None, world_size) if counts else slice(0, 1)
                yield Rows(size, images[mine], draws[mine], seeds[mine], counts)


def plan_epoch(seed: int, epoch: int, num_images: int) -> EpochPlan:
    """Shuffle ``num_images``; the same on every machine."""
    order = np.random.default_rng((seed, epoch)).permutation(num_images)
    return EpochPlan(seed, epoch, torch.from_numpy(order))


def plan_balanced_epoch(seed: int, epoch: int, labels: Tensor) -> EpochPlan:
    """Plan as many images as there are ``labels`` int64 [N], but as many of each class as of any other, give or take 1.

    Within a class every image is shown as often as any other, give or take 1.
    """
    random = np.random.default_rng((seed, epoch))
    classes = random.permutation(torch.unique(labels).numpy())
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[: len(labels) % len(classes)] += 1
    chosen = []
    for class_, share in zip(classes, shares, strict=True):
        members = torch.nonzero(labels == class_).squeeze(1).numpy()
        chosen += [np.tile(members, share // len(members)), random.permutation(members)[: share % len(members)]]
    return EpochPlan(seed, epoch, torch.from_numpy(random.permutation(np.concatenate(chosen))))


def batches_in_order(num_images: int, batch_size: int, rank: int = 0, world_size: int = 1) -> Iterator[Rows]:
    """Yield every ``world_size``-th image once, nothing random; ranks need not get as many batches as each other."""
    mine = torch.arange(num_images)[rank::world_size]
    for images in torch.split(mine, batch_size) if len(mine) else ():
        yield Rows(len(images), images)


def hold_out(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split images into those kept and those held out: ``share`` of each class, at least one of each.

    ``labels`` is int64 [N]; returns two sorted index tensors.
    """
    random = np.random.default_rng(seed)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in torch.nonzero(labels.bincount()):
        members = torch.nonzero(labels == label).squeeze(1)
        count = max(round(share * len(members)), 1)
        held[members[torch.from_numpy(random.permutation(len(members))[:count])]] = True
    return torch.nonzero(~held).squeeze(1), torch.nonzero(held).squeeze(1)
