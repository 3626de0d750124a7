"""Names of classes as other programs keep them: a list, numbers with names either way round, or a name a line."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnncli.errors import DataError
from cnncli.text import one_line

MAX_BYTES = 10_000_000


def read_labels(path: Path) -> list[str]:
    """Return the names of the classes in the order of their numbers, which begin at 0.

    A ``.json`` file holds a list of names, ``{"0": "cat"}``, ``{"cat": 0}`` or ImageNet's
    ``{"0": ["n02012849", "crane"]}``, where a name that two classes share gets their codes; any other file has a name
    a line. Raises ``DataError`` where it cannot be read, lacks a number, or names a class twice.
    """
    try:
        text = _text_of(path)
        names = _from_json(text) if path.suffix.lower() == ".json" else _from_lines(text)
        _check(names)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return names


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise DataError("larger than 10 MB, which no names of classes are")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text (byte {error.start})") from None


def _from_lines(text: str) -> list[str]:
    return [line.strip() for line in text.rstrip().split("\n")]


def _from_json(text: str) -> list[str]:
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise DataError(f"line {error.lineno}: not valid JSON: {error.msg}") from None
    except (RecursionError, ValueError):  # brackets without end; a number of a million digits
        raise DataError("not names of classes: nested too deeply, or with too long a number") from None
    entries = _in_order(value) if isinstance(value, dict) else value
    if not isinstance(entries, list):
        raise DataError('expected a list of names, {"0": "cat"} or {"cat": 0}')
    return _names(entries)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(key for key, _ in pairs)
    if twice := [key for key, count in counts.items() if count > 1]:
        raise DataError(f"{one_line(twice[0])[:80]} is there twice")
    return dict(pairs)


def _in_order(numbered: dict[str, Any]) -> list[Any]:
    """Return names by their numbers, whichever of the two is the key."""
    if all(type(value) is int for value in numbered.values()):
        pairs: list[tuple[int, Any]] = [(number, name) for name, number in numbered.items()]
    elif all(key.isdecimal() and len(key) < 10 for key in numbered):
        pairs = [(int(key), name) for key, name in numbered.items()]
    else:
        raise DataError("each class needs its number: all keys have to be numbers, or all values")
    expected = set(range(len(pairs)))
    if absent := sorted(expected - {number for number, _ in pairs}):
        beyond = [number for number, _ in pairs if number not in expected]
        why = f"there is {beyond[0]}" if beyond else "another is there twice"
        raise DataError(f"{len(pairs):,} classes take the numbers 0 to {len(pairs) - 1}; {absent[0]} is absent, {why}")
    return [name for _, name in sorted(pairs, key=lambda pair: pair[0])]


def _names(entries: Sequence[Any]) -> list[str]:
    """Return the names among entries that are names, or pairs of code and name."""
    pairs = [entry if isinstance(entry, list) and len(entry) == 2 else ("", entry) for entry in entries]
    if strange := [part for pair in pairs for part in pair if not isinstance(part, str)]:
        raise DataError(f"a name is text, but here is {strange[0]!r:.60}")
    counts = Counter(name for _, name in pairs)
    return [f"{name} {code}" if code and counts[name] > 1 else name for code, name in pairs]


def _check(names: list[str]) -> None:
    if "" in names or not names:
        raise DataError(f"class {names.index('') if names else 0} has no name")
    counts = Counter(names)
    if twice := [name for name, count in counts.items() if count > 1]:
        first = names.index(twice[0])
        both = f"{first} and {names.index(twice[0], first + 1)}"
        raise DataError(f"two classes are called {one_line(twice[0])[:80]}: {both}; each needs a name of its own")
