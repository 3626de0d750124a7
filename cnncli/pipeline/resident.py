"""Data that fit: one uint8 tensor on the device, and a batch is one gather from it."""

from collections.abc import Iterator

from torch import Tensor

from cnncli.datasets import Pictures, Split
from cnncli.pipeline import Batch
from cnncli.pipeline.loader import Loader, Recipe
from cnncli.pipeline.preprocess import centred
from cnncli.runtime import Runtime


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

    def epoch(self, epoch: int, position: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch's plan that follow its first ``position`` images, augmented."""
        left_out = 0 if position else self.num_skipped  # of the whole split, said with its first batch
        for rows in self.recipe.rows(self.labels, self.runtime, epoch, position):
            batch = self._augmented(*self._gathered(rows.images), rows, self.recipe.augment)
            yield batch._replace(num_skipped=left_out)
            left_out = 0

    def in_order(self, canvases: bool = False) -> Iterator[Batch]:
        """Yield all images of this rank in their order, as they are; whole ``canvases``, or what is seen of them."""
        left_out = self.num_skipped
        for rows in self.recipe.rows_in_order(self.num_images, self.runtime):
            yield self._plain(*self._gathered(rows.images), rows.images, canvases)._replace(num_skipped=left_out)
            left_out = 0

    def pixels(self, rows: Tensor) -> Tensor:
        """Return what the network sees of some images, before it is normalised: uint8 [N, C, S, S] on the CPU."""
        return centred(self._gathered(rows)[0], self.recipe.preprocess.size).cpu()

    def _gathered(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels and labels of some images, on the device."""
        device = self.runtime.device
        pixels = self.images.index_select(0, numbers.to(self.images.device, non_blocking=True))
        return pixels.to(device, non_blocking=True), self.labels[numbers].to(device, non_blocking=True)
