"""Data that don't fit, or that each epoch decodes anew: worker processes read ahead of the loop.

A worker gets rows of the plan and returns their pixels, so that neither the number of workers nor their speed changes
anything. They read on into the next pass while an epoch is validated or saved.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

import torch
from torch import Tensor

from cnncli.datasets import Images, Pictures
from cnncli.errors import ConfigError
from cnncli.pipeline import Batch
from cnncli.pipeline.loader import Loader, Recipe
from cnncli.pipeline.plan import Rows
from cnncli.pipeline.preprocess import centred
from cnncli.pipeline.reading import BrokenFile, OnError, Read, Reader, Wanted
from cnncli.pipeline.transforms import Transforms
from cnncli.pipeline.workers import by_workers
from cnncli.runtime import Runtime

RowsOf = Callable[[int, int], Iterator[Rows]]  # of a pass, after its first so many positions


class Stream:
    """Reads passes over a split one after the other, so that workers are busy between them too.

    Without ``ahead`` they are idle after each pass. Nothing that a stream holds may refer to it: where it is freed as
    part of a circle its queues are closed before its workers were told to end, and ten seconds are lost.
    """

    def __init__(self, reader: Reader, rows_of: RowsOf, workers: int, pin: bool = False, ahead: bool = False) -> None:
        self.reader, self.rows_of, self.workers, self.pin, self.ahead = reader, rows_of, workers, pin, ahead
        self._next = (-1, 0)  # where the reading has come to
        self._reads: Iterator[Read] = iter(())
        self._asked: deque[tuple[int, Rows]] = deque()  # of which pass, and not read yet
        self._held: tuple[int, Rows, Read] | None = None  # of which pass, and not handed out yet

    def read(self, number: int, position: int) -> Iterator[tuple[Rows, Read]]:
        """Yield the rows of a pass after its first ``position`` images, and their pixels."""
        if self._next != (number, position):
            self._start(number, position)
        self._next = (-1, 0)  # until the pass was read to its end
        while (read := self._one_of(number)) is not None:
            yield read
        if self.ahead:
            self._next = (number + 1, 0)

    def _one_of(self, number: int) -> tuple[Rows, Read] | None:
        """Return the next rows with their pixels; ``None`` if they are of the next pass, or there are no more."""
        if self._held is None:
            read = next(self._reads, None)
            self._held = read and (*self._asked.popleft(), read)
        if self._held is None or self._held[0] != number:
            return None
        _, rows, read = self._held
        self._held = None
        if read.refused:
            raise ConfigError(read.refused)
        return rows, read

    def _start(self, number: int, position: int) -> None:
        """Set workers to read from a place on."""
        self._asked, self._held = deque(), None
        asking = _Asking(self.reader, self.rows_of, (number, position), self.ahead, self._asked)
        self._reads = by_workers(self.reader, asking, self.workers, self.pin)


@dataclass(frozen=True)
class _Asking:
    """What the workers of a stream are to read from a pass and a position on; notes it in ``asked``."""

    reader: Reader
    rows_of: RowsOf
    start: tuple[int, int]
    ahead: bool
    asked: deque[tuple[int, Rows]]

    def __iter__(self) -> Iterator[Wanted]:
        first, position = self.start
        for number in count(first) if self.ahead else (first,):
            for rows in self.rows_of(number, position if number == first else 0):
                self.asked.append((number, rows))
                yield self.reader.wanted(rows)


class StreamingLoader(Loader):
    """A split that is read batch by batch: pictures from their files, or arrays that go through ``transforms``.

    Random resized crops are cut from the pictures themselves, and mirrored while they are at hand. With ``ahead`` the
    next pass is read ahead.
    """

    def __init__(
        self,
        images: Images,
        recipe: Recipe,
        runtime: Runtime,
        workers: int,
        on_error: OnError = "fail",
        transforms: Transforms | None = None,
        may_shrink: bool = False,
        ahead: bool = True,
    ) -> None:
        super().__init__(images, recipe, runtime)
        self.on_error, self._images = on_error, images
        crops = recipe.augment if recipe.augment.resized_crop and isinstance(images, Pictures) else None
        self._rest = replace(recipe.augment, resized_crop=None, flip=False) if crops else recipe.augment
        self._passes = 0
        pin = runtime.device.type == "cuda"
        trained = Reader(images, recipe.preprocess, may_shrink, crops, transforms)
        self._epochs = Stream(trained, partial(recipe.rows, images.labels, runtime), workers, pin, ahead)
        plain = Reader(images, recipe.preprocess, may_shrink)
        all_rows = partial(recipe.rows_in_order, len(images), runtime)
        self._plain_passes = Stream(plain, lambda *_: all_rows(), workers, pin, ahead)

    def epoch(self, epoch: int, position: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch's plan that follow its first ``position`` images, augmented."""
        for rows, read in self._epochs.read(epoch, position):
            kept, pixels, labels = self._whole(rows, read)
            for batch in self._augmented(pixels, labels, [kept], self._rest):
                yield batch._replace(num_skipped=len(read.broken) if rows.counts else 0)

    def in_order(self, canvases: bool = False) -> Iterator[Batch]:
        """Yield all images of this rank in their order, as they are; whole ``canvases``, or what is seen of them."""
        for rows, read in self._plain_passes.read(self._passes, 0):
            kept, pixels, labels = self._whole(rows, read)
            batch = self._plain(pixels, labels, kept.images, canvases)
            yield batch._replace(counts=kept.counts, num_skipped=len(read.broken))
        self._passes += 1

    def pixels(self, rows: Tensor) -> Tensor:
        """Return what the network sees of some images, before it is normalised: uint8 [N, C, S, S] on the CPU."""
        reader = Reader(self._images, self.recipe.preprocess)
        read = reader[reader.wanted(Rows(len(rows), rows, None))]
        return centred(read.pixels, self.recipe.preprocess.size)

    def _whole(self, rows: Rows, read: Read) -> tuple[Rows, Tensor, Tensor]:
        """Return rows, pixels and labels, on the device, without those that could not be read."""
        device, pixels = self.runtime.device, read.pixels
        if read.broken:
            if self.on_error == "fail":
                raise BrokenFile(next(iter(read.broken.values())))
            kept = torch.tensor([place for place in range(len(pixels)) if place not in read.broken], dtype=torch.long)
            counts = rows.counts and len(kept) > 0
            kept = kept if len(kept) else torch.zeros(1, dtype=torch.long)  # one that is black, and does not count
            draws = None if rows.draws is None else rows.draws[kept]
            rows, pixels = Rows(rows.size, rows.images[kept], draws, counts=counts), pixels[kept]
        labels = self.labels[rows.images]
        return rows, pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
