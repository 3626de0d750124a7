"""Words in messages: what strangers wrote, such as names of files, made harmless to look at; numbers with nouns."""

import re
from collections.abc import Iterable

# Control characters, marks that turn the direction of writing, ends of lines and paragraphs, halves of characters.
_TURNED = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f"
_STRANGE = re.compile(f"[\x00-\x1f\x7f-\x9f{_TURNED}\ud800-\udfff]")
_STRANGE_BUT_LINES = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_TURNED}\ud800-\udfff]")
_LEFT_BY_JSON = re.compile(f"[\x7f-\x9f{_TURNED}\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return a message with its lines and tabs, but all else that moves or turns a terminal's text as ``\x1b``."""
    return _STRANGE_BUT_LINES.sub(_escaped, text)


def one_line(name: str) -> str:
    r"""Return a name as it may stand within a line: a line break in it is seen as ``\n``, and forges no line."""
    return _STRANGE.sub(_escaped, name)


def visible_json(text: str) -> str:
    r"""Return JSON that is equal when it is parsed, and shows such characters as ``\u202e``."""
    return _LEFT_BY_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def counted(number: int, thing: str) -> str:
    """Return a number with its noun: 1 epoch, 2 epochs."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def short(number: float) -> str:
    """Return a number in five digits at most, whole ones whole."""
    number += 0.0  # a zero has no sign
    return f"{number:.0f}" if number == round(number, 0) and abs(number) < 1e9 else f"{number:.5g}"


def listed(names: Iterable[str]) -> str:
    """Return names one after the other, as they may stand within a line."""
    return ", ".join(map(one_line, names))
