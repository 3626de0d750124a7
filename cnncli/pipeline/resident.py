"""Data that fit: one uint8 tensor on the device, and a batch is one gather from it."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cnncli.datasets import Split
from cnncli.pipeline import Batch
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.plan import plan_epoch
from cnncli.pipeline.preprocess import Preprocess
from cnncli.runtime import Runtime


class ResidentLoader:
    """A split on the device, handed out batch by batch; the last batch of an epoch may be smaller.

    ``seed`` and ``augment`` matter to :meth:`epoch` alone.
    """

    def __init__(
        self,
        split: Split,
        preprocess: Preprocess,
        runtime: Runtime,
        batch_size: int,
        seed: int = 0,
        augment: Augment = Augment(),  # noqa: B008  (frozen)
    ) -> None:
        self.images = split.images.to(runtime.device)
        self.labels = split.labels.to(runtime.device)
        self.preprocess = preprocess
        self.runtime = runtime
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment

    @property
    def num_images(self) -> int:
        """Images in the split."""
        return len(self.labels)

    @property
    def num_batches(self) -> int:
        """Batches that hold all images once."""
        return -(-self.num_images // self.batch_size)

    def epoch(self, epoch: int, position: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch's plan that follow its first ``position`` images, augmented."""
        plan = plan_epoch(self.seed, epoch, self.num_images, self.augment.num_draws)
        order, draws = plan.order.to(self.images.device), plan.draws.to(self.images.device)
        for start in range(position, self.num_images, self.batch_size):
            batch = slice(start, start + self.batch_size)
            images = self.augment(self.images[order[batch]], draws[batch])
            yield self._finished(images, self.labels[order[batch]])

    def in_order(self) -> Iterator[Batch]:
        """Yield all images as they are, in their order."""
        for start in range(0, self.num_images, self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield self._finished(self.images[batch], self.labels[batch])

    def _finished(self, images: Tensor, labels: Tensor) -> Batch:
        with torch.no_grad():
            return Batch(self.runtime.arrange(self.preprocess.normalise(images)), labels)
