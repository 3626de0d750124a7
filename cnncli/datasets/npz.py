"""Images of one's own in a NumPy archive."""

import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, Field

from cnncli.datasets import Split, SplitName, first_of_each_class
from cnncli.errors import DataError
from cnncli.registry import DATASETS

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
FilePath = Annotated[
    str,
    Field(min_length=1, description="the .npz file; relative to the working directory, noted absolute"),
    AfterValidator(lambda path: str(Path(path).absolute())),
]


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
            shape = self._images(archive, self.splits[0]).shape
            self.channels, self.image_size = shape[1], shape[2]
            if "classes" in archive.files:
                self.classes = tuple(str(name) for name in self._array(archive, "classes"))
            else:
                labels = [self._array(archive, f"{split}_labels") for split in self.splits]
                self.classes = tuple(map(str, range(1 + max(int(array.max(initial=0)) for array in labels))))
        self.mean, self.std = (0.5,) * self.channels, (0.5,) * self.channels

    def load(self, split: SplitName, limit: int | None = None) -> Split:
        """Read one split; ``DataError`` if its images or labels are not what they should be."""
        with self._open() as archive:
            images = self._images(archive, split)
            labels = self._array(archive, f"{split}_labels")
        where = f"{self.path}: {split}_labels"
        if images.shape[1:] != (self.channels, self.image_size, self.image_size):
            raise DataError(f"{self.path}: {split}_images differ in size from {self.splits[0]}_images")
        if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
            raise DataError(f"{where} must be {len(images)} whole numbers, not {labels.dtype} {list(labels.shape)}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise DataError(f"{where}: {labels.min()} to {labels.max()}, but classes are 0 to {len(self.classes) - 1}")
        whole = Split(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))
        return first_of_each_class(whole, limit)

    def _open(self) -> Any:
        """Open the archive; it holds arrays only, never objects that would run code."""
        try:
            with Path(self.path).open("rb") as file:
                is_archive = zipfile.is_zipfile(file)
            archive = np.load(self.path, allow_pickle=False) if is_archive else None
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}") from None
        if archive is None:
            raise DataError(f"{self.path}: not an .npz archive, as numpy.savez writes them")
        return archive

    def _array(self, archive: Any, name: str) -> Any:
        try:
            array = archive[name]
        except KeyError:
            raise DataError(f"{self.path}: the array {name} is missing; there are {', '.join(archive.files)}") from None
        except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{self.path}: the array {name} is damaged: {error}") from None
        if not isinstance(array, np.ndarray):  # a file in the archive that numpy did not write
            raise DataError(f"{self.path}: {name} is no array")
        return array

    def _images(self, archive: Any, split: SplitName) -> Any:
        """Return the images of a split as uint8 [N, C, H, W]."""
        images = self._array(archive, f"{split}_images")
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[1] != images.shape[2]:
            raise DataError(
                f"{self.path}: {split}_images must be uint8 [N, H, W] or [N, H, W, C] and square,"
                f" not {images.dtype} {list(images.shape)}"
            )
        return images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
