"""Pictures decoded once: their canvases in one file of uint8, which later epochs and runs map into memory.

Canvases are kept as decoders give them and networks on the CPU take them, with the colours of a pixel side by side.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnncli.datasets import Pictures, Split
from cnncli.errors import MachineError
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.reading import BrokenFile, OnError, canvases, list_broken

MEMORY_SHARE = 4  # the part of the machine's memory that canvases may take by themselves: a quarter
# What makes canvases: another version of any of them makes old caches stale. The first number is that of our own part.
MAKERS = (3, PIL.__version__, simplejpeg.__version__, str(torch.__version__))


def folder() -> Path:
    """Return where caches are: ``$CNN_CACHE``, or ``~/.cache/cnncli``."""
    return Path(os.environ.get("CNN_CACHE") or Path.home() / ".cache" / "cnncli")


def choose(num_images: int, preprocess: Preprocess) -> Literal["off", "memory", "disk"]:
    """Return what ``data.cache: auto`` stands for: off where canvases take more than a quarter of the memory.

    Else disk, or memory where the folder of caches cannot be written to or has too little room.
    """
    wanted = num_images * preprocess.channels * preprocess.side**2
    if not hasattr(os, "sysconf"):  # Windows
        return "off"
    if wanted > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEMORY_SHARE:
        return "off"
    try:
        folder().mkdir(parents=True, exist_ok=True)
        has_room = shutil.disk_usage(folder()).free > 2 * wanted and os.access(folder(), os.W_OK)
    except OSError:
        has_room = False
    return "disk" if has_room else "memory"


def path_of(pictures: Pictures, preprocess: Preprocess, may_shrink: bool) -> Path:
    """Return where canvases are kept, by each picture's name, size and time of change, and by how they are made."""
    made = {key: value for key, value in asdict(preprocess).items() if key not in ("mean", "std", "size", "canvas")}
    key = hashlib.sha256(json.dumps([MAKERS, preprocess.side, may_shrink, made]).encode())
    for row in range(len(pictures)):
        name = pictures.file(row)
        try:
            status = os.stat(name)  # noqa: PTH116  # a million of them
            key.update(b"%s\0%d\0%d\n" % (name, status.st_size, status.st_mtime_ns))
        except OSError:
            key.update(b"%s\0absent\n" % name)
    return folder() / f"{Path(pictures.root).name}-{key.hexdigest()[:20]}.uint8"


class Cache:
    """Keeps the canvases of pictures, in memory or on disk, without those that are broken.

    Both ways return them, and bool [N]: which of the pictures are whole. Raises ``BrokenFile`` at the first that is not
    if ``on_error`` is fail.
    """

    def __init__(self, preprocess: Preprocess, workers: int, on_error: OnError, note: Callable[[str], None]) -> None:
        self.preprocess, self.workers, self.on_error, self.note = preprocess, workers, on_error, note

    def in_memory(self, pictures: Pictures, may_shrink: bool) -> tuple[Split, Tensor]:
        """Decode into one tensor."""
        good = np.ones(len(pictures), bool)
        parts = list(self._decoded(pictures, may_shrink, good))
        return _kept(np.concatenate(parts), good, pictures)

    def on_disk(self, pictures: Pictures, may_shrink: bool) -> tuple[Split, Tensor]:
        """Map the file that an earlier run made, or make it, whole or not at all.

        It holds the canvases of the pictures that are not broken, then a byte a picture that says whether it is not.
        Raises ``MachineError`` if it cannot be written.
        """
        path = path_of(pictures, self.preprocess, may_shrink)
        if not path.is_file():
            self.note(f"decoding {len(pictures):,} pictures into {path}")
            self._write(path, pictures, may_shrink)
        mapped = np.memmap(path, np.uint8, "c")  # private, so that torch may see it as a tensor like any other
        good = mapped[-len(pictures) :].astype(bool)
        if not good.all():
            bad = pictures.take(torch.from_numpy(~good).nonzero().squeeze(1))
            still = list_broken(bad, self.preprocess, self.workers, may_shrink)
            if len(still) < np.count_nonzero(~good):  # what hid some of them, permissions say, is gone
                path.unlink(missing_ok=True)
                return self.on_disk(pictures, may_shrink)
            if self.on_error == "fail":
                raise BrokenFile(still[0])
        side = self.preprocess.side
        return _kept(mapped[: -len(pictures)].reshape(-1, side, side, self.preprocess.channels), good, pictures)

    def _decoded(self, pictures: Pictures, may_shrink: bool, good: NDArray[np.bool_]) -> Iterator[NDArray[np.uint8]]:
        """Yield the canvases a few at a time, and note in ``good`` which pictures were not broken."""
        done = 0
        for read in canvases(pictures, self.preprocess, self.workers, may_shrink):
            if read.broken and self.on_error == "fail":
                raise BrokenFile(next(iter(read.broken.values())))
            here = good[done : done + len(read.pixels)]
            here[list(read.broken)] = False
            done += len(read.pixels)
            yield read.pixels.permute(0, 2, 3, 1).numpy()[here]

    def _write(self, path: Path, pictures: Pictures, may_shrink: bool) -> None:
        good = np.ones(len(pictures), bool)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                try:
                    for part in self._decoded(pictures, may_shrink, good):
                        file.write(part.data)
                    file.write(good.data)
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).replace(path)
                finally:
                    Path(file.name).unlink(missing_ok=True)
        except OSError as error:
            raise MachineError(
                f"{path}: {error.strerror}; set $CNN_CACHE to another folder, or data.cache: memory or off"
            ) from None


def _kept(canvases: NDArray[np.uint8], good: NDArray[np.bool_], pictures: Pictures) -> tuple[Split, Tensor]:
    """Return canvases [N, S, S, C] as images [N, C, S, S], with their labels; and which pictures they are of."""
    which = torch.from_numpy(good)
    return Split(torch.from_numpy(canvases).permute(0, 3, 1, 2), pictures.labels[which]), which
