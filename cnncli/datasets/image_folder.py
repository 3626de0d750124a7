"""A folder of pictures, one subfolder a class."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from cnncli.datasets import SPLITS, FolderPath, Names, Pictures, SplitName, first_of_each_class
from cnncli.errors import DataError
from cnncli.registry import DATASETS

EXTENSIONS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".avif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".tga", ".jp2"),
}
FOLDERS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


@DATASETS.register
class ImageFolder:
    """Pictures in ``root/train/CLASS/`` with ``val`` or ``test`` beside it, or one tree ``root/CLASS/`` to be split.

    Classes are sorted by name. Folders in a class's folder belong to it; hidden files and other kinds are left out.
    """

    channels = image_size = None
    mean, std = (0.5,), (0.5,)

    def __init__(self, root: FolderPath) -> None:
        self.root = root
        if not Path(root).is_dir():
            raise DataError(f"{root}: no such folder; pictures belong in {Path(root, 'train', 'CLASS')}")
        inside = {split: next((n for n in names if Path(root, n).is_dir()), None) for split, names in FOLDERS.items()}
        found: dict[SplitName, str] = {split: name for split, name in inside.items() if name}
        self._folders = found or {"train": "."}
        self.splits = tuple(split for split in SPLITS if split in self._folders)
        self.classes = tuple(sorted({name for folder in self._folders.values() for name in self._subfolders(folder)}))
        if not self.classes:
            raise DataError(f"{root}: no folder in it that a class could be; pictures belong in root/train/CLASS")
        self.is_one_tree = not found

    def load(self, split: SplitName, limit: int | None = None) -> Pictures:
        """List the pictures of one split, by class and name; reads none of them."""
        counts = []

        def names() -> Iterator[bytes]:
            for name in self.classes:
                relative = os.path.normpath(os.path.join(self._folders[split], name))  # noqa: PTH118  # as text
                found = sorted(self._pictures(relative, set()))
                counts.append(len(found))
                yield from found

        listed = Names(names())
        labels = torch.arange(len(self.classes)).repeat_interleave(torch.tensor(counts))
        return first_of_each_class(Pictures(self.root, listed, torch.arange(len(listed)), labels), limit)

    def call_it(self, split: SplitName) -> None:
        """Take all pictures of a folder without splits for those of one."""
        self._folders, self.splits = {split: "."}, (split,)

    def _subfolders(self, folder: str) -> list[str]:
        with os.scandir(Path(self.root, folder)) as entries:
            return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]

    def _pictures(self, folder: str, around: set[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the names of pictures under a folder; a link back to one of the folders ``around`` it leads nowhere."""
        path = Path(self.root, folder)
        if not path.is_dir():
            return
        here = path.stat()
        identity = (here.st_dev, here.st_ino)
        if identity in around:
            return
        with os.scandir(path) as entries:
            for entry in entries:
                inner = f"{folder}/{entry.name}"
                if entry.name.startswith("."):
                    continue
                if os.path.splitext(entry.name)[1].lower() in EXTENSIONS and not entry.is_dir():  # noqa: PTH122  # fast
                    yield os.fsencode(inner)
                elif entry.is_dir():
                    yield from self._pictures(inner, around | {identity})
