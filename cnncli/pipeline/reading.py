"""From rows of the plan to pixels, in worker processes or in the loop's own; a broken file is noted, not raised."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cnncli.datasets import Images, Pictures
from cnncli.errors import ConfigError, DataError
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.decode import Picture
from cnncli.pipeline.plan import Rows, batches_in_order
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.transforms import Transforms
from cnncli.pipeline.workers import by_workers
from cnncli.text import one_line

OnError = Literal["fail", "skip"]
FILES_AT_ONCE = 64  # that a worker holds in memory, one of them decoded


class BrokenFile(DataError):
    """A picture that cannot be read, of which there may be more."""


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
        for place, (number, picture, crop) in enumerate(self._pictures(wanted)):
            try:
                canvas = self._canvas(picture, crop)
                if self.transforms is not None and wanted.seeds is not None:
                    canvas = self.transforms(canvas, int(wanted.seeds[place]))
                pixels[place] = canvas
            except DataError as error:
                pixels[place] = 0
                where = f"{self.images.path(number)}: " if isinstance(self.images, Pictures) else ""
                broken[place] = one_line(f"{where}{error}")
            except ConfigError as error:
                return Read(pixels, broken, str(error))
        return Read(pixels, broken)

    def _pictures(self, wanted: Wanted) -> Iterator[tuple[int, Picture | Tensor | DataError, Crop | None]]:
        """Yield each row's number, its picture and its crop; a few pictures are in memory at a time."""
        for start in range(0, len(wanted.images), FILES_AT_ONCE):
            few = slice(start, start + FILES_AT_ONCE)
            numbers = wanted.images[few].tolist()
            pictures = [self._opened(number) for number in numbers]
            crops = self._crops(pictures, wanted.draws[few] if wanted.draws is not None else None)
            pictures.reverse()
            for number, crop in zip(numbers, crops, strict=True):
                yield number, pictures.pop(), crop

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


def canvases(images: Images, preprocess: Preprocess, workers: int, may_shrink: bool) -> Iterator[Read]:
    """Read all of a split once, in its order, a few at a time."""
    reader = Reader(images, preprocess, may_shrink)
    batches = batches_in_order(len(images), FILES_AT_ONCE)
    return by_workers(reader, (reader.wanted(rows) for rows in batches), workers)


def list_broken(images: Images, preprocess: Preprocess, workers: int, may_shrink: bool = False) -> list[str]:
    """Return what is wrong with each file that cannot be read, in the order of the split."""
    return [text for read in canvases(images, preprocess, workers, may_shrink) for text in read.broken.values()]
