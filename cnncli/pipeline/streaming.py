"""Data that don't fit, or that each epoch decodes anew: worker processes read ahead of the loop.

A worker gets rows of the plan and returns their pixels, so that neither the number of workers nor their speed changes
anything. They read on into the next pass while an epoch is validated or saved.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cnncli.datasets import Images, Pictures
from cnncli.errors import ConfigError, DataError, MachineError
from cnncli.pipeline import Batch
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.decode import Picture
from cnncli.pipeline.loader import Loader, Recipe
from cnncli.pipeline.plan import Rows, batches_in_order
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.transforms import Transforms
from cnncli.runtime import Runtime

OnError = Literal["fail", "skip"]
SCAN_BATCH = 64  # files a worker looks at in one go


class Wanted(NamedTuple):
    """What a worker is asked for: of some rows of the plan, as NumPy arrays, no more than it needs."""

    images: NDArray[np.int64]
    draws: NDArray[np.float32] | None = None
    seeds: NDArray[np.int64] | None = None


class Crop(NamedTuple):
    """A part of a picture, and whether it is mirrored."""

    box: Sequence[int]  # top, left, height, width
    is_mirrored: bool


class Read(NamedTuple):
    """Pixels uint8 [B, C, S, S] of rows, and what is wrong with those that could not be read, by their place.

    ``refused`` says why transforms cannot be trained with.
    """

    pixels: Tensor
    broken: dict[int, str]
    refused: str = ""


class Reader(Dataset[Read]):
    """Reads the canvases of rows, or their random resized ``crops``, mirrored or not; runs in the workers."""

    def __init__(
        self,
        images: Images,
        preprocess: Preprocess,
        may_shrink: bool = False,
        crops: Augment | None = None,
        transforms: Transforms | None = None,
    ) -> None:
        self.images, self.preprocess, self.may_shrink = images, preprocess, may_shrink
        self.crops, self.transforms = crops, transforms

    def wanted(self, rows: Rows) -> Wanted:
        """Return what is needed of rows to read them."""
        draws = rows.draws.numpy() if rows.draws is not None and self.crops else None
        seeds = rows.seeds.numpy() if rows.seeds is not None and self.transforms else None
        return Wanted(rows.images.numpy(), draws, seeds)

    def __getitem__(self, wanted: Wanted) -> Read:
        """Read rows; a file that is broken leaves its pixels black."""
        side = self.preprocess.side if wanted.draws is None else self.preprocess.size
        shape = (len(wanted.images), self.preprocess.channels, side, side)
        pixels = torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)
        broken: dict[int, str] = {}
        numbers = wanted.images.tolist()
        pictures = [self._opened(number) for number in numbers]
        crops = self._crops(pictures, wanted.draws)
        for place, (number, picture, crop) in enumerate(zip(numbers, pictures, crops, strict=True)):
            try:
                canvas = self._canvas(picture, crop)
                if self.transforms is not None and wanted.seeds is not None:
                    canvas = self.transforms(canvas, int(wanted.seeds[place]))
                pixels[place] = canvas
            except DataError as error:
                pixels[place] = 0
                where = f"{self.images.path(number)}: " if isinstance(self.images, Pictures) else ""
                broken[place] = f"{where}{error}"
            except ConfigError as error:
                return Read(pixels, broken, str(error))
        return Read(pixels, broken)

    def _opened(self, number: int) -> Picture | Tensor | DataError:
        """Return a picture, or an array in memory; or what is wrong with its file."""
        if not isinstance(self.images, Pictures):
            return self.images.images[number]
        try:
            return Picture.read(self.images.file(number))
        except DataError as error:
            return error

    def _crops(
        self, pictures: list[Picture | Tensor | DataError], draws: NDArray[np.float32] | None
    ) -> list[Crop | None]:
        """Return what each row's draws make of its picture, in whole pixels."""
        if self.crops is None or draws is None:
            return [None] * len(pictures)
        sizes = torch.tensor([(p.height, p.width) if isinstance(p, Picture) else (1, 1) for p in pictures])
        rows = torch.from_numpy(draws)
        boxes = self.crops.boxes(rows, *sizes.unbind(1)).round().int()
        boxes[:, 2:].clamp_(min=1)
        boxes[:, :2] = torch.minimum(boxes[:, :2], sizes - boxes[:, 2:])
        return list(map(Crop, boxes.tolist(), self.crops.mirrors(rows).tolist()))

    def _canvas(self, picture: Picture | Tensor | DataError, crop: Crop | None) -> Tensor:
        if isinstance(picture, DataError):
            raise picture
        if isinstance(picture, Tensor):
            return picture
        if crop is None:
            return self.preprocess.on_canvas(picture, self.may_shrink)
        pixels = self.preprocess.cut(picture, crop.box, (self.preprocess.size,) * 2, self.may_shrink)
        return pixels.flip(2) if crop.is_mirrored else pixels


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
            try:
                read = next(self._reads, None)
            except RuntimeError as error:
                raise _worker_error(error) from error
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
        loader: DataLoader[Read] = DataLoader(
            self.reader,
            batch_size=None,
            sampler=_Asking(self.reader, self.rows_of, (number, position), self.ahead, self._asked),
            num_workers=self.workers,
            collate_fn=_as_it_is,  # type: ignore[arg-type]  # which gets lists only where there is a batch size
            pin_memory=self.pin,
            worker_init_fn=_leave_signals_to_the_loop,
            generator=torch.Generator(),  # or it draws from that of the network's dropout
        )
        self._reads = iter(loader)


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
        self.images, self.workers, self.on_error = images, workers, on_error
        crops = recipe.augment if recipe.augment.resized_crop and isinstance(images, Pictures) else None
        self._rest = replace(recipe.augment, resized_crop=None, flip=False) if crops else recipe.augment
        self._passes = 0
        pin = runtime.device.type == "cuda"
        trained = Reader(images, recipe.preprocess, may_shrink, crops, transforms)
        self._epochs = Stream(trained, partial(recipe.rows, images.labels, runtime), workers, pin, ahead)
        plain, all_rows = (
            Reader(images, recipe.preprocess, may_shrink),
            partial(recipe.rows_in_order, len(images), runtime),
        )
        self._plain_passes = Stream(plain, lambda *_: all_rows(), workers, pin, ahead)

    def epoch(self, epoch: int, position: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch's plan that follow its first ``position`` images, augmented."""
        self.num_skipped = 0
        for rows, read in self._epochs.read(epoch, position):
            rows, pixels, labels = self._whole(rows, read)
            yield self._augmented(pixels, labels, rows, self._rest)

    def in_order(self, canvases: bool = False) -> Iterator[Batch]:
        """Yield all images of this rank in their order, as they are; whole ``canvases``, or what is seen of them."""
        self.num_skipped = 0
        for rows, read in self._plain_passes.read(self._passes, 0):
            rows, pixels, labels = self._whole(rows, read)
            if rows.counts:
                yield self._plain(pixels, labels, canvases)
        self._passes += 1

    def _whole(self, rows: Rows, read: Read) -> tuple[Rows, Tensor, Tensor]:
        """Return rows, pixels and labels, on the device, without those that could not be read."""
        device, pixels = self.runtime.device, read.pixels
        if read.broken:
            if self.on_error == "fail":
                raise broken_files(broken(self.images, self.recipe.preprocess, self.workers), len(self.images))
            self.num_skipped += len(read.broken) if rows.counts else 0
            kept = torch.tensor([place for place in range(len(pixels)) if place not in read.broken], dtype=torch.long)
            counts = rows.counts and len(kept) > 0
            kept = kept if len(kept) else torch.zeros(1, dtype=torch.long)  # one that is black, and does not count
            draws = None if rows.draws is None else rows.draws[kept]
            rows, pixels = Rows(rows.size, rows.images[kept], draws, counts=counts), pixels[kept]
        labels = self.labels[rows.images]
        return rows, pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def canvases(images: Images, preprocess: Preprocess, workers: int, may_shrink: bool) -> Iterator[tuple[Rows, Read]]:
    """Read all of a split once, in its order, a few at a time."""
    reader = Reader(images, preprocess, may_shrink)
    stream = Stream(reader, lambda *_: batches_in_order(len(images), SCAN_BATCH), workers)
    return stream.read(0, 0)


def broken(images: Images, preprocess: Preprocess, workers: int) -> list[str]:
    """Return what is wrong with each file that cannot be read, in the order of the split."""
    return [
        text for _, read in canvases(images, preprocess, workers, may_shrink=False) for text in read.broken.values()
    ]


def broken_files(messages: list[str], num_files: int) -> DataError:
    """Return the error that lists all broken files."""
    return DataError(
        f"{len(messages):,} of {num_files:,} pictures cannot be read:\n  "
        + "\n  ".join(messages)
        + "\nmend or remove them, or leave them out with data.on_error: skip"
    )


def _as_it_is(read: Read) -> Read:
    return read


def _leave_signals_to_the_loop(worker: int) -> None:
    """Have Ctrl-C reach the loop alone, which then ends its workers; torch sees to SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _worker_error(error: RuntimeError) -> BaseException:
    """Tell a worker that died from an error of ours."""
    text = str(error)
    if "DataLoader worker" not in text:
        return error
    cause = "its shared memory (/dev/shm) is full" if "Bus error" in text else text.partition("\n")[0]
    return MachineError(
        f"a process that reads images died: {cause}; try fewer with --set data.workers=1, or 0 for none"
    )
