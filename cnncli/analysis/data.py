"""What is in a data set: counts, broken files and duplicates, sizes, mean and standard deviation of the pixels."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from cnncli.datasets import Images, Pictures, SplitName
from cnncli.errors import DataError
from cnncli.pipeline.decode import Picture
from cnncli.pipeline.preprocess import Preprocess, centred
from cnncli.pipeline.reading import FILES_AT_ONCE, BrokenFile, OnError
from cnncli.pipeline.workers import by_workers


class Facts(NamedTuple):
    """What is known of one image: its content's hash, its file's format, its size, its pixels' sums; or its error."""

    digest: bytes
    format: str = ""
    height: int = 0
    width: int = 0
    sums: NDArray[np.float64] | None = None  # [2, C]: of pixels scaled to [0, 1], and of their squares
    error: str = ""


@dataclass
class Report:
    """What ``cnn data check`` found. Files are named by their path; images without a file by split and number."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # split -> class -> images
    missing: list[str] = field(default_factory=list)  # splits without images, classes without any to train on
    broken: list[str] = field(default_factory=list)
    leaked: list[list[str]] = field(default_factory=list)  # the same content in two splits
    conflicting: list[list[str]] = field(default_factory=list)  # the same content in two classes
    duplicates: list[list[str]] = field(default_factory=list)  # the same content within one split and class
    misnamed: list[str] = field(default_factory=list)  # whose extension belongs to another format
    sizes: dict[str, list[int]] = field(default_factory=dict)  # side -> smallest, median, largest
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)

    @property
    def is_wanting(self) -> bool:
        """Whether something was found that keeps a network from being trained, or makes results wrong."""
        return bool(self.missing or self.broken or self.leaked or self.conflicting)


def examine(splits: dict[SplitName, Images], classes: tuple[str, ...], preprocess: Preprocess, workers: int) -> Report:
    """Look at every image of every split; mean and std are those of the training images as the network sees them."""
    report, seen = Report(), defaultdict[bytes, list[tuple[str, str, str]]](list)
    heights, widths, moments = [], [], Moments()
    for split, images in splits.items():
        counts = images.labels.bincount(minlength=len(classes)).tolist()
        report.counts[split] = dict(zip(classes, counts, strict=True))
        if not len(images):
            report.missing.append(f"the {split} split holds no images")
        for row, facts in enumerate(_facts(images, preprocess, workers)):
            name = str(images.path(row)) if isinstance(images, Pictures) else f"{split} {row}"
            if facts.error:
                report.broken.append(f"{name}: {facts.error}")
                continue
            if isinstance(images, Pictures) and facts.format not in _formats(Path(name).suffix):
                report.misnamed.append(f"{name} is {facts.format}")
            heights.append(facts.height)
            widths.append(facts.width)
            seen[facts.digest].append((split, classes[int(images.labels[row])], name))
            if split == "train" and facts.sums is not None:
                moments.add(facts.sums)
    untaught = [name for name, count in report.counts.get("train", {}).items() if not count]
    report.missing += [f"class {name} has no image to train on" for name in untaught]
    for same in seen.values():
        if len(same) > 1:
            names = [name for _, _, name in same]
            in_splits, in_classes = {split for split, _, _ in same}, {class_ for _, class_, _ in same}
            if len(in_splits) > 1:
                report.leaked.append(names)
            if len(in_classes) > 1:
                report.conflicting.append(names)
            if len(in_splits) == len(in_classes) == 1:
                report.duplicates.append(names)
    if heights:
        for side, values in (("height", heights), ("width", widths)):
            report.sizes[side] = [min(values), int(np.median(values)), max(values)]
    report.mean, report.std = moments.mean_and_std()
    return report


def moments_of(images: Images, preprocess: Preprocess, workers: int, on_error: OnError) -> "Moments":
    """Return what gives mean and standard deviation of the pixels, scaled to [0, 1], as the network sees them.

    Raises ``BrokenFile`` at the first such if ``on_error`` is fail.
    """
    moments = Moments()
    for facts in _facts(images, preprocess, workers):
        if facts.sums is not None:
            moments.add(facts.sums)
        elif on_error == "fail":
            raise BrokenFile(facts.error)
    return moments


class Moments:
    """Sums over ``count`` images of their pixels' means and mean squares, a row each [2, C]."""

    def __init__(self) -> None:
        self.count, self.sums = 0, np.zeros(())

    def add(self, sums: NDArray[np.float64]) -> None:
        """Take in one image; all are of the same size, so each counts the same."""
        self.count, self.sums = self.count + 1, self.sums + sums

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        """Return both for each channel, to six digits; nothing if there was no image."""
        if not self.count:
            return [], []
        mean, square = self.sums / self.count
        return np.round(mean, 6).tolist(), np.round(np.sqrt(np.maximum(square - mean**2, 0)), 6).tolist()


class _Examiner(Dataset[list[Facts]]):
    """Looks at a chunk of images; runs in the workers."""

    def __init__(self, images: Images, preprocess: Preprocess) -> None:
        self.images, self.preprocess = images, preprocess

    def __getitem__(self, start: int) -> list[Facts]:
        return [self._facts(row) for row in range(start, min(start + FILES_AT_ONCE, len(self.images)))]

    def _facts(self, row: int) -> Facts:
        if not isinstance(self.images, Pictures):
            pixels = self.images.images[row]
            digest = hashlib.sha256(pixels.contiguous().numpy().tobytes()).digest()
            height, width = pixels.shape[1:]
            return Facts(digest, "", height, width, _sums(self._seen(self.preprocess.fit(pixels[None])[0])))
        try:
            picture = Picture.read(self.images.path(row))
            pixels = self._seen(self.preprocess.on_canvas(picture))
        except DataError as error:
            return Facts(b"", error=str(error))
        digest = hashlib.sha256(picture.data).digest()
        return Facts(digest, picture.format, picture.height, picture.width, _sums(pixels))

    def _seen(self, canvas: torch.Tensor) -> torch.Tensor:
        return centred(canvas, self.preprocess.size)


def _sums(pixels: torch.Tensor) -> NDArray[np.float64]:
    scaled = pixels.double() / 255
    return torch.stack([scaled.mean((1, 2)), (scaled**2).mean((1, 2))]).numpy()


def _facts(images: Images, preprocess: Preprocess, workers: int) -> Iterator[Facts]:
    starts = range(0, len(images), FILES_AT_ONCE)
    for chunk in by_workers(_Examiner(images, preprocess), starts, workers if isinstance(images, Pictures) else 0):
        yield from chunk


def _formats(extension: str) -> set[str]:
    """Return the formats that files of an extension may have; Pillow knows one for each."""
    Image.init()
    own = Image.EXTENSION.get(extension.lower(), "")
    return {own, "MPO"} if own == "JPEG" else {own}
