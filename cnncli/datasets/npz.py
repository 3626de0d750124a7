"""Images of one's own in a NumPy archive."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cnncli.datasets import MAX_CLASSES, SPLITS, Split, SplitName, first_of_each_class
from cnncli.errors import DataError
from cnncli.paths import FilePath
from cnncli.registry import DATASETS
from cnncli.text import one_line

BOMB_BYTES, BOMB_RATIO = 2**28, 100  # larger than this, and by so much larger than packed: deflate reaches 1032


@DATASETS.register
class NpzArchive:
    """Arrays ``train_images`` uint8 [N, H, W] or [N, H, W, C] and ``train_labels`` [N]; likewise ``val_``, ``test_``.

    The optional array ``classes`` [num_classes] names the classes; without it they are called by their numbers.
    """

    def __init__(self, path: FilePath) -> None:
        self.path = path
        with self._open() as archive:
            self.splits = tuple(split for split in SPLITS if f"{split}_images" in archive.files)
            if not self.splits:
                raise DataError(f"{path}: none of the arrays train_images, val_images and test_images is in it")
            self.channels, self.image_size = self._size(archive, self.splits[0])
            self.classes = self._classes(archive)
        self.mean, self.std = (0.5,) * self.channels, (0.5,) * self.channels

    def load(self, split: SplitName, limit: int | None = None) -> Split:
        """Read one split; ``DataError`` if its images or labels are not what they should be."""
        with self._open() as archive:
            images, labels = self._images(archive, split), self._labels(archive, split)
        where = f"{self.path}: {split}_labels"
        if images.shape[1:] != (self.channels, self.image_size, self.image_size):
            raise DataError(f"{self.path}: {split}_images differ in size from {self.splits[0]}_images")
        if len(labels) != len(images):
            raise DataError(f"{where}: {len(labels)} labels, but there are {len(images)} images")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise DataError(f"{where}: {labels.min()} to {labels.max()}, but classes are 0 to {len(self.classes) - 1}")
        whole = Split(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))
        return first_of_each_class(whole, limit)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """Open the archive; it holds arrays only, never objects that would run code."""
        try:
            with Path(self.path).open("rb") as file:
                if not zipfile.is_zipfile(file):
                    raise DataError(f"{self.path}: not an .npz archive, as numpy.savez writes them, or cut short")
                file.seek(0)
                try:
                    archive = np.load(file, allow_pickle=False)
                except Exception as error:  # whatever NumPy and zipfile raise on a stranger's bytes
                    raise DataError(f"{self.path}: the archive is damaged: {error}") from None
                yield archive
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror or error}") from None

    def _array(self, archive: Any, name: str) -> Any:
        if f"{name}.npy" in archive.zip.namelist():
            self._header(archive, name)
        try:
            array = archive[name]
        except KeyError:
            there = ", ".join(map(one_line, archive.files))
            raise DataError(f"{self.path}: the array {name} is missing; there are {there}") from None
        except Exception as error:
            raise DataError(f"{self.path}: the array {name} is damaged: {error}") from None
        if not isinstance(array, np.ndarray):  # a file in the archive that numpy did not write
            raise DataError(f"{self.path}: {name} is no array")
        return array

    def _size(self, archive: Any, split: SplitName) -> tuple[int, int]:
        """Return channels and side of a split's images, from the head of the array alone."""
        name = f"{split}_images"
        shape, dtype = self._header(archive, name)
        self._check(name, shape, dtype)
        return (shape[3] if len(shape) == 4 else 1), shape[1]

    def _header(self, archive: Any, name: str) -> tuple[tuple[int, ...], Any]:
        """Return shape and type of an array that is as large as it says, and no decompression bomb; reads no more."""
        try:
            member = archive.zip.getinfo(f"{name}.npy")
            if member.file_size > BOMB_BYTES and member.file_size > BOMB_RATIO * member.compress_size:
                raise DataError(
                    f"{self.path}: the array {name} is more than {BOMB_RATIO} times as large as it is packed, which may"
                    " be a decompression bomb; if it is none, write it by numpy.savez, which does not compress"
                )
            with archive.zip.open(member) as file:
                read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
                    np.lib.format.read_magic(file), np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(file)
                if not dtype.hasobject and math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
                    raise ValueError(f"its head speaks of {dtype} {list(shape)}, but that is not its size")
        except KeyError:  # a file in the archive that numpy did not write
            raise DataError(f"{self.path}: the array {name} is missing") from None
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{self.path}: the array {name} is damaged: {error}") from None
        return shape, dtype

    def _images(self, archive: Any, split: SplitName) -> Any:
        """Return the images of a split as uint8 [N, C, H, W]."""
        images = self._array(archive, f"{split}_images")
        self._check(f"{split}_images", images.shape, images.dtype)
        return images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))

    def _check(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        if dtype != np.uint8 or len(shape) not in (3, 4) or shape[1] != shape[2] or 0 in shape[1:]:
            raise DataError(
                f"{self.path}: {name} must be uint8 [N, H, W] or [N, H, W, C] and square, not {dtype} {list(shape)}"
            )

    def _labels(self, archive: Any, split: SplitName) -> Any:
        """Return the labels of a split as whole numbers [N]."""
        labels = self._array(archive, f"{split}_labels")
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise DataError(
                f"{self.path}: {split}_labels must be whole numbers [N], not {labels.dtype} {list(labels.shape)}"
            )
        return labels

    def _classes(self, archive: Any) -> tuple[str, ...]:
        """Return the names of the classes, or numbers up to the largest label."""
        if "classes" in archive.files:
            named = self._array(archive, "classes")
            names: tuple[str, ...] = ()
            if named.dtype.kind in "Uiu" and named.ndim == 1:
                with suppress(SystemError):  # of numbers that are no characters
                    names = tuple(map(str, named))
            if not 0 < len(set(names)) == len(names) <= MAX_CLASSES:
                raise DataError(f"{self.path}: classes must be up to {MAX_CLASSES:,} different names [num_classes]")
            return names
        largest = max(int(self._labels(archive, split).max(initial=0)) for split in self.splits)
        if largest >= MAX_CLASSES:
            raise DataError(f"{self.path}: a label is {largest:,}, but there can be {MAX_CLASSES:,} classes at most")
        return tuple(map(str, range(largest + 1)))
