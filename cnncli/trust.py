"""Checks of a checkpoint before torch reads it: anybody may have written it.

``weights_only=True`` lets no pickle run code, but it makes what it is asked for: ten gigabytes of zeros, a tensor whose
billion numbers are one and the same, a tuple so deep that to hash it overflows the stack. So the archive has to be as
:func:`torch.save` writes it, and its pickle is followed first, with outlines in place of tensors.
"""

import math
import re
import struct
from collections.abc import Mapping
from pickletools import genops
from typing import IO, Any, NamedTuple
from zipfile import ZIP_STORED, ZipFile

import torch

from cnncli.errors import CheckpointError
from cnncli.text import one_line

RECORD = re.compile(
    r"[^/\\]+/(data\.pkl|data/[0-9]+|version|byteorder|\.format_version|\.storage_alignment|\.data/\w+)"
)
END = struct.Struct("<4sQHHIIQQQQ4sIQI4sHHHHIIH")  # of a zip: its record of 64 bits, where that is, the record of old
ORDERED_DICT, TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
ITEM_BYTES = {
    **{"torch ByteStorage": 1, "torch CharStorage": 1, "torch BoolStorage": 1, "torch ShortStorage": 2},
    **{"torch HalfStorage": 2, "torch BFloat16Storage": 2, "torch IntStorage": 4, "torch FloatStorage": 4},
    **{"torch LongStorage": 8, "torch DoubleStorage": 8},
}
NUM_STEPS, BYTES_A_STEP = 500_000, 5  # steps of a pickle, and one more for so many bytes: names take no fewer
MAX_DEPTH = 50


class Global(NamedTuple):
    """A class or function that a pickle names."""

    name: str


class Storage(NamedTuple):
    """The numbers of tensors: how many bytes each takes, and all of them."""

    item_bytes: int
    size: int


class TensorOutline(NamedTuple):
    """A tensor without its numbers."""

    shape: tuple[int, ...]


class OrderedOutline(dict[Any, Any]):
    """An ``OrderedDict``, with the versions of modules where it is a network's ``state_dict()``."""

    metadata: Any = None


LEAVES = (str, float, bool, int, type(None), TensorOutline)


def read_archive(file: IO[bytes], end: int) -> Any:
    """Return what ``torch.save`` wrote, on the CPU, once it is known to be harmless; see :func:`check_archive`."""
    check_archive(file, end)
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def check_archive(file: IO[bytes], end: int) -> None:
    """Raise ``CheckpointError`` unless torch may read the archive that ends, but for a comment, after ``end`` bytes."""
    with ZipFile(file) as archive:
        records = archive.infolist()
        names = [record.orig_filename for record in records]
        _check_end(file, len(names), archive.start_dir, end)
        if strange := [name for name in names if not RECORD.fullmatch(name)]:
            raise CheckpointError(f"its archive holds {one_line(strange[0])[:80]}, which no checkpoint needs")
        if len(set(names)) < len(names) or len({name.partition("/")[0] for name in names}) > 1:
            raise CheckpointError("its archive holds a record twice")
        if any(record.compress_type != ZIP_STORED or record.compress_size != record.file_size for record in records):
            raise CheckpointError("its records are compressed, which may be a decompression bomb")
        if sum(record.file_size for record in records) > end:
            raise CheckpointError("its records claim to be larger than the file")
        pickle = archive.read(f"{names[0].partition('/')[0]}/data.pkl")
    sizes = {name.partition("/")[2]: record.file_size for name, record in zip(names, records, strict=True)}
    steps = NUM_STEPS + len(pickle) // BYTES_A_STEP
    made = Outliner(sizes).follow(pickle, steps)
    _check_plain(made, steps)


def _check_end(file: IO[bytes], count: int, start: int, end: int) -> None:
    """Refuse an archive of which two readers could disagree where the list of its ``count`` records starts."""
    file.seek(max(end - END.size, 0))
    found = file.read(END.size)
    place = end - END.size
    size, few, versions, comment = place - start, min(count, 2**16 - 1), found[12:16], found[-2:]
    expected = END.pack(
        *(b"PK\6\6", 44, *struct.unpack("<HH", versions), 0, 0, count, count, size, start),
        *(b"PK\6\7", 0, place, 1),
        *(b"PK\5\6", 0, 0, few, few, min(size, 2**32 - 1), min(start, 2**32 - 1), *struct.unpack("<H", comment)),
    )
    if found != expected:
        raise CheckpointError("its archive does not end as torch writes it")


class Outliner:
    """Follows a pickle as torch does, with outlines in place of tensors; knows no more than what we write."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes  # of records
        self.stack: list[Any] = []
        self.around: list[list[Any]] = []  # stacks that wait for the items of a list, say
        self.memo: dict[int, Any] = {}

    def follow(self, pickle: bytes, steps: int) -> Any:
        """Return what a pickle makes in at most so many steps; ``CheckpointError`` where it goes astray."""
        try:
            for step, (opcode, argument, _) in enumerate(genops(pickle)):
                if step == steps:
                    raise CheckpointError("its pickle takes more steps than its size accounts for")
                self._take(opcode.name, argument)
            return self.stack.pop()
        except (ValueError, TypeError, LookupError, AttributeError):  # of steps that do not follow from those before
            raise CheckpointError("its pickle is none that torch writes") from None

    def _take(self, step: str, argument: Any) -> None:
        stack = self.stack
        match step:
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[step])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[step]())
            case "MARK":
                self.around.append(stack)
                self.stack = []
            case "TUPLE" | "APPENDS" | "SETITEMS":
                self.stack = self.around.pop()
                self._gather(step, stack)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(step[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND":
                self._gather("APPENDS", [stack.pop()])
            case "SETITEM":
                items = stack[-2:]
                del stack[-2:]
                self._gather("SETITEMS", items)
            case "GLOBAL":
                if argument not in (ORDERED_DICT, TENSOR, *ITEM_BYTES):
                    raise CheckpointError(f"its pickle names {one_line(argument)[:80]}, which no checkpoint needs")
                stack.append(Global(argument))
            case "REDUCE" | "BUILD":
                given = stack.pop()
                stack[-1] = _called(stack[-1], given) if step == "REDUCE" else _with_metadata(stack[-1], given)
            case "BINPERSID":
                stack[-1] = self._storage(*stack[-1])
            case "STOP":
                pass
            case "PROTO" if argument == 2:
                pass
            case _:
                raise CheckpointError(f"its pickle holds {step}, which no checkpoint needs")

    def _gather(self, step: str, items: list[Any]) -> None:
        """Put items into a tuple, a list or a dict; keys are words and numbers."""
        if step == "TUPLE":
            self.stack.append(tuple(items))
        elif step == "APPENDS" and type(self.stack[-1]) is list:
            self.stack[-1].extend(items)
        elif (
            step == "SETITEMS"
            and isinstance(self.stack[-1], dict)
            and all(type(key) in (str, int) for key in items[::2])
        ):
            self.stack[-1].update(zip(items[::2], items[1::2], strict=True))
        else:
            raise CheckpointError("its pickle has a key that is no word, or items of what has none")

    def _storage(self, kind: str, storage: Global, key: str, location: str, count: int) -> Storage:
        item_bytes, size = ITEM_BYTES[storage.name], self.sizes[f"data/{key}"]
        if kind != "storage" or size != count * item_bytes:
            raise CheckpointError(
                f"record {one_line(key)[:80]} holds {size:,} bytes, not the {count:,} numbers it claims"
            )
        return Storage(item_bytes, size)


def _called(function: Any, given: Any) -> Any:
    """Return the outline of what torch makes: an empty ``OrderedDict``, or a tensor, but no other kind of it."""
    if function == Global(ORDERED_DICT) and given == ():
        return OrderedOutline()
    if function != Global(TENSOR):
        raise CheckpointError("its pickle calls what no checkpoint needs to call")
    storage, offset, shape, _, needs_gradient, hooks = given
    stored = storage.size // storage.item_bytes - offset
    if not all(type(length) is int and length >= 0 for length in (offset, *shape)) or math.prod(shape) > stored:
        raise CheckpointError(f"a tensor of shape {list(shape)!s:.80}, of which {stored:,} numbers are stored")
    if needs_gradient is not False or hooks:
        raise CheckpointError("a tensor with a gradient or hooks, which no checkpoint needs")
    return TensorOutline(shape)


def _with_metadata(made: Any, given: Any) -> Any:
    if type(made) is not OrderedOutline or list(given) != ["_metadata"]:
        raise CheckpointError("its pickle sets attributes that no checkpoint needs")
    made.metadata = given["_metadata"]
    return made


def _check_plain(value: Any, left: int, depth: int = 0) -> int:
    """Refuse what is not plain, or unfolds into more than ``left`` values; return how many are left."""
    if type(value) in (dict, OrderedOutline):
        inner = [*value, *value.values(), getattr(value, "metadata", None)]
    elif type(value) in (list, tuple):
        inner = value
    else:
        raise CheckpointError(f"it holds a {type(value).__name__.lower()} where it should have a value")
    left -= len(inner)
    if left < 0 or depth > MAX_DEPTH:
        raise CheckpointError("its values unfold into too many, or hold themselves")
    for item in inner:
        if type(item) not in LEAVES:
            left = _check_plain(item, left, depth + 1)
    return left
