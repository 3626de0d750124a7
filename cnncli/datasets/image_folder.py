"""A folder of pictures, one subfolder a class."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch

from cnncli.datasets import SPLITS, Names, Pictures, SplitName, first_of_each_class
from cnncli.errors import DataError
from cnncli.paths import FolderPath
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

    Classes are sorted by name. Folders in a class's folder belong to it; hidden files and other kinds are left out. A
    folder that is called train but has no folder in it is a class: one can tell trains from cars.
    """

    channels = image_size = None
    mean, std = (0.5,), (0.5,)

    def __init__(self, root: FolderPath) -> None:
        self.root = root
        if not Path(root).is_dir():
            raise DataError(f"{root}: no such folder; pictures belong in {Path(root, 'train', 'CLASS')}")
        found: dict[SplitName, str] = {}
        for split, names in FOLDERS.items():
            if name := next((name for name in names if self._subfolders(name)), None):
                found[split] = name
        self._folders = found or {"train": "."}
        self.splits = tuple(split for split in SPLITS if split in self._folders)
        self.classes = tuple(sorted({name for folder in self._folders.values() for name in self._subfolders(folder)}))
        if not self.classes:
            raise DataError(f"{root}: no folder in it that a class could be; each class needs one of its own")
        self.is_one_tree = not found
        self._others: dict[SplitName, Counter[str]] = {}

    @property
    def left_out(self) -> dict[str, int]:
        """How many files of which extensions the listings so far left out, since they are no pictures."""
        return dict(sum(self._others.values(), Counter[str]()).most_common())

    def load(self, split: SplitName, limit: int | None = None) -> Pictures:
        """List the pictures of one split, by class and name; reads none of them."""
        counts, others = [], Counter[str]()

        def names() -> Iterator[bytes]:
            for name in self.classes:
                relative = os.path.normpath(os.path.join(self._folders[split], name))  # noqa: PTH118  # as text
                found = sorted(self._pictures(relative, set(), others))
                counts.append(len(found))
                yield from found

        listed = Names(names())
        self._others[split] = others
        labels = torch.arange(len(self.classes)).repeat_interleave(torch.tensor(counts))
        return first_of_each_class(Pictures(self.root, listed, torch.arange(len(listed)), labels), limit)

    def call_it(self, split: SplitName) -> None:
        """Take all pictures of a folder without splits for those of one."""
        self._folders, self.splits = {split: "."}, (split,)

    def _subfolders(self, folder: str) -> list[str]:
        if not Path(self.root, folder).is_dir():
            return []
        with os.scandir(Path(self.root, folder)) as entries:
            return [entry.name for entry in entries if is_folder(entry) and not entry.name.startswith(".")]

    def _pictures(self, folder: str, around: set[tuple[int, int]], others: Counter[str]) -> Iterator[bytes]:
        """Yield the names of pictures under a folder, and count the extensions of ``others``.

        A link back to one of the folders ``around`` it leads nowhere.
        """
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
                extension = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  # fast
                if is_folder(entry):
                    yield from self._pictures(inner, around | {identity}, others)
                elif extension in EXTENSIONS:
                    yield os.fsencode(inner)
                else:
                    others[extension or entry.name] += 1


def is_folder(entry: "os.DirEntry[str] | os.DirEntry[bytes]") -> bool:
    """Whether a directory entry is a folder; one that cannot be followed, such as a link to itself, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False
