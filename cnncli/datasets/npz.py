"""Images of one's own in a NumPy archive."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cnncli.datasets import MAX_CLASSES, SPLITS, FilePath, Split, SplitName, first_of_each_class
from cnncli.errors import DataError
from cnncli.registry import DATASETS

# What NumPy and zipfile raise where an archive is damaged, encrypted, or holds pickled objects.
BROKEN = (ValueError, EOFError, OSError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


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
                except BROKEN as error:
                    raise DataError(f"{self.path}: the archive is damaged: {error}") from None
                yield archive
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror or error}") from None

    def _array(self, archive: Any, name: str) -> Any:
        try:
            array = archive[name]
        except KeyError:
            raise DataError(f"{self.path}: the array {name} is missing; there are {', '.join(archive.files)}") from None
        except BROKEN as error:
            raise DataError(f"{self.path}: the array {name} is damaged: {error}") from None
        if not isinstance(array, np.ndarray):  # a file in the archive that numpy did not write
            raise DataError(f"{self.path}: {name} is no array")
        return array

    def _size(self, archive: Any, split: SplitName) -> tuple[int, int]:
        """Return channels and side of a split's images, from the head of the array alone."""
        name = f"{split}_images"
        try:
            with archive.zip.open(f"{name}.npy") as file:
                read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
                    np.lib.format.read_magic(file), np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(file)
        except KeyError:  # a file in the archive that numpy did not write
            raise DataError(f"{self.path}: the array {name} is missing") from None
        except BROKEN as error:
            raise DataError(f"{self.path}: the array {name} is damaged: {error}") from None
        self._check(name, shape, dtype)
        return (shape[3] if len(shape) == 4 else 1), shape[1]

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
            names = self._array(archive, "classes")
            if names.dtype.kind not in "Uiu" or names.ndim != 1 or not 0 < len(set(names)) == len(names) <= MAX_CLASSES:
                raise DataError(f"{self.path}: classes must be up to {MAX_CLASSES:,} different names [num_classes]")
            return tuple(map(str, names))
        largest = max(int(self._labels(archive, split).max(initial=0)) for split in self.splits)
        if largest >= MAX_CLASSES:
            raise DataError(f"{self.path}: a label is {largest:,}, but there can be {MAX_CLASSES:,} classes at most")
        return tuple(map(str, range(largest + 1)))
