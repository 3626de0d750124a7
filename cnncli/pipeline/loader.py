"""What all loaders have in common: an epoch's plan becomes batches; where the pixels come from is theirs."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cnncli.datasets import Images, Pictures
from cnncli.pipeline import Batch
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.plan import EpochPlan, Rows, batches_in_order, plan_balanced_epoch, plan_epoch
from cnncli.pipeline.preprocess import Preprocess, centred
from cnncli.runtime import Runtime

NOTHING = Augment()
MOST_NAMED = 256
Sampling = Literal["shuffle", "balanced"]


@dataclass(frozen=True)
class Recipe:
    """How batches are made of a split. All but the first two matter to training alone."""

    preprocess: Preprocess
    batch_size: int  # of all ranks in training; of each in evaluation
    seed: int = 0
    augment: Augment = NOTHING
    sampling: Sampling = "shuffle"
    num_classes: int = 0  # for mixed targets

    def plan(self, epoch: int, labels: Tensor) -> EpochPlan:
        """Return the plan of an epoch of images that have these ``labels`` [N]."""
        if self.sampling == "balanced":
            return plan_balanced_epoch(self.seed, epoch, labels)
        return plan_epoch(self.seed, epoch, len(labels))

    def rows(self, labels: Tensor, runtime: Runtime, epoch: int, position: int) -> Iterator[Rows]:
        """Yield what this rank takes of an epoch after its first ``position`` images."""
        num_draws = self.augment.num_draws
        return self.plan(epoch, labels).batches(self.batch_size, num_draws, position, runtime.rank, runtime.world_size)

    def rows_in_order(self, num_images: int, runtime: Runtime) -> Iterator[Rows]:
        """Yield what this rank takes of all images, in their order."""
        return batches_in_order(num_images, self.batch_size, runtime.rank, runtime.world_size)


class Loader(ABC):
    """A split, handed out batch by batch; the last batch of an epoch may be smaller."""

    def __init__(self, images: Images, recipe: Recipe, runtime: Runtime, files: Pictures | None = None) -> None:
        self.recipe, self.runtime = recipe, runtime
        self.num_images = len(images)
        self.labels = images.labels
        self.files = images if isinstance(images, Pictures) else files  # of the images, where they have any

    @property
    def num_batches(self) -> int:
        """Batches of an epoch."""
        return -(-self.num_images // self.recipe.batch_size)

    @property
    def num_batches_in_order(self) -> int:
        """Batches of all images in their order, of the rank that has most."""
        return -(-self.num_images // (self.recipe.batch_size * self.runtime.world_size))

    def named(self, epoch: int, position: int) -> str:
        """Return which images the batch at a position of an epoch is made of, by their numbers in the split."""
        numbers = self.recipe.plan(epoch, self.labels).order[position : position + self.recipe.batch_size].tolist()
        more = f" and {len(numbers) - MOST_NAMED:,} more" if len(numbers) > MOST_NAMED else ""
        return f"images {', '.join(map(str, numbers[:MOST_NAMED]))}{more} of the split, in epoch {epoch + 1}"

    @abstractmethod
    def epoch(self, epoch: int, position: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch's plan that follow its first ``position`` images, augmented."""

    @abstractmethod
    def in_order(self, canvases: bool = False) -> Iterator[Batch]:
        """Yield all images of this rank in their order, as they are; whole ``canvases``, or what is seen of them.

        A batch of which every file is broken is one image that does not count.
        """

    @abstractmethod
    def pixels(self, rows: Tensor) -> Tensor:
        """Return what the network sees of some images, before it is normalised: uint8 [N, C, S, S] on the CPU."""

    def _augmented(self, pixels: Tensor, labels: Tensor, several: list[Rows], augment: Augment) -> Iterator[Batch]:
        """Finish batches for training: uint8 [N, C, S, S] of all on the device, and the rows of the plan of each."""
        with torch.no_grad():
            drawn = torch.cat([rows.draws for rows in several if rows.draws is not None])
            draws = drawn.to(pixels.device, non_blocking=True)
            changed = self.runtime.arrange(augment(pixels, draws, self.recipe.preprocess.size))  # while bytes are few
            images = self.recipe.preprocess.normalise(changed)
            if augment.erase:
                images = augment.erased(images, draws)
        sizes = [len(rows.images) for rows in several]
        parts = zip(*(torch.split(whole, sizes) for whole in (images, labels, draws)), strict=True)
        for rows, (images, labels, draws) in zip(several, parts, strict=True):
            yield self._mixed(images, labels, draws, rows, augment)

    def _mixed(self, images: Tensor, labels: Tensor, draws: Tensor, rows: Rows, augment: Augment) -> Batch:
        targets = labels
        if augment.mixup or augment.cutmix:
            with torch.no_grad():
                images, targets = augment.mixed(images, labels, draws, self.recipe.num_classes)
        return Batch(images, labels, targets, rows.size, rows.counts)

    def _plain(self, pixels: Tensor, labels: Tensor, rows: Tensor, canvases: bool) -> Batch:
        """Finish a batch for evaluation."""
        with torch.no_grad():
            if not canvases:
                pixels = centred(pixels, self.recipe.preprocess.size)
            images = self.recipe.preprocess.normalise(self.runtime.arrange(pixels))
            return Batch(images, labels, labels, len(labels), rows=rows)
