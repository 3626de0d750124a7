"""Files as somebody might write them who means harm: their parts, to be put together in tests."""

import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from typing import Any

import torch

from cnncli import checkpoint as checkpoints
from cnncli.trust import END


class Calls:
    """Unpickles as what a function returns."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


class Stored:
    """The numbers of a tensor, in the record 0 of an archive: as many as it claims."""

    def __init__(self, count: int) -> None:
        self.id = ("storage", torch.FloatStorage, "0", "cpu", count)


class Pickler(pickle.Pickler):
    """Refers to records of an archive as torch does."""

    def persistent_id(self, thing: Any) -> Any:
        return thing.id if isinstance(thing, Stored) else None


def pickled(thing: Any) -> bytes:
    content = BytesIO()
    Pickler(content, protocol=2).dump(thing)
    return content.getvalue()


def tensor(shape: tuple[int, ...], stride: tuple[int, ...], count: int) -> Calls:
    """A tensor of ``count`` stored numbers, with whatever shape and stride it says."""
    return Calls(torch._utils._rebuild_tensor_v2, Stored(count), 0, shape, stride, False, OrderedDict())


def archived(data: bytes, method: int = zipfile.ZIP_STORED, **records: bytes) -> bytes:
    """Return a pickle and records of numbers as a checkpoint, its end as torch writes it, and sealed.

    The keywords are names in the archive.
    """
    content = BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, record in {"a/data.pkl": data, "a/data/0": bytes(64), "a/version": b"3\n", **records}.items():
            archive.writestr(name, record)
    whole, count, start = content.getvalue(), len(archive.infolist()), archive.start_dir
    place = len(whole) - 22  # of the end as zipfile writes it
    size = place - start
    record = (b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    end = END.pack(*record, b"PK\6\7", 0, place, 1, b"PK\5\6", 0, 0, count, count, size, start, 0)
    return sealed(whole[:place] + end)


def sealed(content: bytes) -> bytes:
    """Return an archive with a seal that is right, since anybody can compute it."""
    file = BytesIO()
    writer = checkpoints._Sealed(file)
    writer.write(memoryview(content[:-2] + b"\0\0"))  # without a comment
    writer.close()
    return file.getvalue()


def png(width: int, height: int) -> bytes:
    """Return a black picture, whose rows pack a thousandfold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
