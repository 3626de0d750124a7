"""Data sets that torchvision knows how to download and read, where all images are of one size."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from cnncli.datasets import Split, SplitName, first_of_each_class
from cnncli.errors import DataError, MachineError
from cnncli.paths import FolderPath
from cnncli.registry import DATASETS
from cnncli.text import one_line

# fmt: off
Name = Literal[
    "CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "STL10", "SVHN", "USPS",
    "EMNIST/balanced", "EMNIST/byclass", "EMNIST/bymerge", "EMNIST/digits", "EMNIST/letters", "EMNIST/mnist",
]
# fmt: on
SHAPES = {"CIFAR10": (3, 32), "CIFAR100": (3, 32), "STL10": (3, 96), "SVHN": (3, 32), "USPS": (1, 16)}
DIGITS = tuple("0123456789")
BY_SPLIT = {"SVHN", "STL10"}  # which want split="train"; the others train=True


@DATASETS.register
class Torchvision:
    """A data set of torchvision, read from ``root`` as torchvision lays it out there.

    It is downloaded only with ``download: true``. EMNIST, stored on its side, is turned upright; its letters are
    counted from 0.
    """

    mean, std = (0.5,), (0.5,)
    splits: tuple[SplitName, ...] = ("train", "test")

    def __init__(
        self,
        dataset: Annotated[Name, Field(description="torchvision's name of it")],
        root: Annotated[FolderPath, Field(validate_default=True)] = "data",
        download: Annotated[bool, Field(description="fetch what is not in root yet, from the internet")] = False,
    ) -> None:
        self.name, _, self.variant = dataset.partition("/")
        self.root, self.download = root, download
        self.channels, self.image_size = SHAPES.get(self.name, (1, 28))
        self._open: Callable[[SplitName], Any] = cache(self._read)  # the classes may have to be read with the images

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; of CIFAR and STL10 they are read from its files."""
        class_ = getattr(datasets, self.name)
        if self.variant:
            return tuple(name for name in class_.classes_split_dict[self.variant] if name != "N/A")
        if self.name in ("MNIST", "SVHN", "USPS"):
            return DIGITS
        return tuple(class_.classes if hasattr(class_, "classes") else self._open("test").classes)

    def load(self, split: SplitName, limit: int | None = None) -> Split:
        """Read one split; ``DataError`` names the files that are missing and where they belong."""
        dataset = self._open(split)
        images = torch.as_tensor(np.asarray(dataset.data))
        labels = torch.as_tensor(dataset.labels if self.name in BY_SPLIT else dataset.targets).long()
        if images.ndim == 3:
            images = images[:, None]
        elif images.shape[-1] == self.channels:
            images = images.permute(0, 3, 1, 2)
        if self.variant:
            images = images.transpose(2, 3)
            labels = labels - int(self.variant == "letters")
        fits = images.dtype == torch.uint8 and images.shape == (len(labels), self.channels, *[self.image_size] * 2)
        if not fits or not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise DataError(f"{self.root}: what lies there as {self.name} has images or labels that it has none of")
        return first_of_each_class(Split(images.contiguous(), labels), limit)

    def _read(self, split: SplitName) -> Any:
        wanted: dict[str, Any] = {"split": split} if self.name in BY_SPLIT else {"train": split == "train"}
        if self.variant:
            wanted["split"] = self.variant
        try:
            Path(self.root).mkdir(parents=True, exist_ok=True) if self.download else None
            self._verify(split)
            return getattr(datasets, self.name)(self.root, download=self.download, **wanted)
        except ModuleNotFoundError as error:
            missing = error.name
            raise MachineError(f"{self.name} is read by {missing}, which is not here: pip install {missing}") from None
        except Exception as error:  # whatever torchvision and urllib raise on a stranger's bytes
            files = "".join(f"\n  {Path(self.root, file)}" for file in files_of(self.name, self.variant))
            if self.download:
                why = one_line(str(error).strip())[-200:]
                raise DataError(
                    f"{self.name} could not be downloaded ({why}); fetch these files in another way:{files}"
                ) from None
            raise DataError(
                f"{self.name} is absent or damaged; put these files there, or train with data.download: true:{files}"
            ) from None

    def _verify(self, split: SplitName) -> None:
        """Raise ``ValueError`` where a packed file is not the published one; torchvision skips those of USPS."""
        if self.name == "USPS":
            _, file, checksum = datasets.USPS.split_list[split]
            path = Path(self.root, file)
            if path.exists() and not check_integrity(path, checksum):
                raise ValueError(f"{path} is not what was published")


def files_of(name: str, variant: str = "") -> list[str]:
    """Return the files of a data set as they lie in its root, packed where torchvision unpacks them itself."""
    class_ = getattr(datasets, name)
    if name in ("CIFAR10", "CIFAR100"):
        return [f"{class_.base_folder}/{file}" for file, _ in [*class_.train_list, *class_.test_list]] + [
            f"{class_.base_folder}/{class_.meta['filename']}"
        ]
    if name == "STL10":
        lists = [*class_.train_list, *class_.test_list]
        return [f"{class_.base_folder}/{file}" for file, _ in lists] + [f"{class_.base_folder}/class_names.txt"]
    if name in ("SVHN", "USPS"):
        return [class_.split_list[split][1] for split in ("train", "test")]
    if name == "EMNIST":
        parts = [(split, kind) for split in ("train", "test") for kind in ("images-idx3", "labels-idx1")]
        return [f"EMNIST/raw/emnist-{variant}-{split}-{kind}-ubyte" for split, kind in parts]
    return [f"{name}/raw/{Path(file).stem}" for file, _ in class_.resources]
