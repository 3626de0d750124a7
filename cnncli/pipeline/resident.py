"""Data that fit: one uint8 tensor on the device, and a batch is one gather from it.

Batches of small images are made several at a time: an operation on few numbers takes as long to begin as to do.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from cnncli.datasets import Pictures, Split
from cnncli.pipeline import Batch
from cnncli.pipeline.loader import Loader, Recipe
from cnncli.pipeline.preprocess import centred
from cnncli.runtime import Runtime

NUMBERS_AT_ONCE = 2**20  # of all channels, in batches that are made together: 4 MB of float32, which caches hold
MOST_KEPT = 2**26  # numbers of a split that is scored again and again, as the network takes them: 256 MB


class ResidentLoader(Loader):
    """A split of canvases in memory: the device's, or the host's where the device has no room or they are read once."""

    def __init__(
        self,
        split: Split,
        recipe: Recipe,
        runtime: Runtime,
        num_skipped: int = 0,
        read_often: bool = True,
        files: Pictures | None = None,
    ) -> None:
        super().__init__(split, recipe, runtime, files)
        self.num_skipped = num_skipped if runtime.is_main else 0  # when it was read, whole, by each rank
        stays = read_often and runtime.has_room_for(split.images)
        self.images = split.images.to(runtime.device) if stays else split.images
        self._kept: list[Batch] | None = [] if stays and split.images.numel() <= MOST_KEPT else None

    def epoch(self, epoch: int, position: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch's plan that follow its first ``position`` images, augmented."""
        left_out = 0 if position else self.num_skipped  # of the whole split, said with its first batch
        rows = self.recipe.rows(self.labels, self.runtime, epoch, position)
        a_batch = self.images[0].numel() * max(self.recipe.batch_size // self.runtime.world_size, 1)
        while several := list(islice(rows, max(NUMBERS_AT_ONCE // a_batch, 1))):
            pixels, labels = self._gathered(torch.cat([each.images for each in several]))
            for batch in self._augmented(pixels, labels, several, self.recipe.augment):
                yield batch._replace(num_skipped=left_out)
                left_out = 0

    def in_order(self, canvases: bool = False) -> Iterator[Batch]:
        """Yield all images of this rank in their order, as they are; whole ``canvases``, or what is seen of them.

        The batches of a small split are kept for the next time.
        """
        if canvases or self._kept is None:
            yield from self._in_order(canvases)
            return
        if not self._kept:
            self._kept = list(self._in_order(canvases))
        yield from self._kept

    def _in_order(self, canvases: bool) -> Iterator[Batch]:
        left_out = self.num_skipped
        for rows in self.recipe.rows_in_order(self.num_images, self.runtime):
            first, step = int(rows.images[0]), self.runtime.world_size
            some = slice(first, first + step * len(rows.images), step)  # a view, which is quicker than a copy
            pixels, labels = (
                whole[some].to(self.runtime.device, non_blocking=True) for whole in (self.images, self.labels)
            )
            yield self._plain(pixels, labels, rows.images, canvases)._replace(num_skipped=left_out)
            left_out = 0

    def pixels(self, rows: Tensor) -> Tensor:
        """Return what the network sees of some images, before it is normalised: uint8 [N, C, S, S] on the CPU."""
        return centred(self._gathered(rows)[0], self.recipe.preprocess.size).cpu()

    def _gathered(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels and labels of some images, on the device."""
        device = self.runtime.device
        numbers_there = numbers.to(self.images.device, non_blocking=True)
        if self.images.is_contiguous():
            pixels = self.images.index_select(0, numbers_there)
        else:  # which a batch would be all the same
            pixels = self.images.permute(0, 2, 3, 1).index_select(0, numbers_there).permute(0, 3, 1, 2)
        return pixels.to(device, non_blocking=True), self.labels[numbers].to(device, non_blocking=True)
