"""Text of strangers, as it is shown."""

import json
import unicodedata

import pytest

from cnncli.display import Display, print_json, print_text
from cnncli.errors import did_you_mean
from cnncli.text import one_line, short, visible, visible_json

ALL = " ".join(map(chr, range(0x110000)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\u00e9 数字 \N{ZERO WIDTH JOINER} a\u00a0b </script> [bold] $x$", None),
        ("\x1b[2J\x07\x9b1m", r"\x1b[2J\x07\x9b1m"),
        ("cat\u202egpj.exe", r"cat\u202egpj.exe"),
        ("\u2066\u2069\u200e\u200f\u061c", r"\u2066\u2069\u200e\u200f\u061c"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("caf\udce9", r"caf\udce9"),
        ("a\nerror: b\r\tc", r"a\nerror: b\r\tc"),
    ],
)
def test_a_name_stays_in_its_line(text: str, shown: str | None) -> None:
    assert one_line(text) == (text if shown is None else shown)


def test_a_message_keeps_its_lines() -> None:
    assert visible("first\n\tsecond\r\x1b[1A") == "first\n\tsecond\\r\\x1b[1A"


def test_no_character_that_acts_is_left() -> None:
    """By Unicode's own table: control characters, surrogates, separators of lines, and what turns the direction."""
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    for character in one_line(ALL):
        assert unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        assert unicodedata.bidirectional(character) not in turning


def test_json_is_equal_when_it_is_parsed() -> None:
    shown = visible_json(json.dumps({ALL: ALL}, ensure_ascii=False))
    assert json.loads(shown) == {ALL: ALL}
    assert one_line(shown) == shown


def test_whatever_is_printed_is_visible(capsys: pytest.CaptureFixture[str]) -> None:
    print_text("a\n\x1b[2Jb")
    print_json({"class": "\u202ea\x7f\udce9é"})
    Display().note("c\x1b]0;title\x07")
    out, err = capsys.readouterr()
    assert out == 'a\n\\x1b[2Jb\n{"class": "\\u202ea\\u007f\\udce9é"}\n'
    assert err == "c\\x1b]0;title\\x07\n"


def test_a_suggestion_forges_no_line() -> None:
    assert did_you_mean("class_1", ["class_1\n"]) == r"; did you mean class_1\n?"
    assert did_you_mean("x", ["yyy\n\x1b"]) == r"; known are yyy\n\x1b"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0.0, "0"), (-0.0, "0"), (-3.0, "-3"), (260100.0, "260100"), (1e9, "1e+09")),
        *((1 / 3, "0.33333"), (18.000000000000004, "18"), (float("-inf"), "-inf"), (float("nan"), "nan")),
    ],
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert short(number) == text
