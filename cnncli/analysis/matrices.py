"""Maps [C, H, W] of numbers that somebody typed, or of a picture."""

import re

import numpy as np
from numpy.typing import NDArray

from cnncli.analysis.classic_kernels import CLASSIC_KERNELS
from cnncli.errors import ConfigError, DataError, did_you_mean
from cnncli.text import one_line

WHITE = (255, 255, 255)  # behind what is transparent
NUMBERLIKE = re.compile(r"(nan|inf)\b", re.IGNORECASE)  # words that are read as numbers, to be refused as such
LARGEST = 1e30  # so that squares of sums of products are numbers still


def parse_maps(text: str) -> NDArray[np.float64]:
    """Read rows of numbers or fractions such as 1/9, ended by lines or semicolons; an empty row ends a channel.

    Returns [C, H, W]; raises ``ValueError`` saying which row is wrong, counted as lines are.
    """
    channels: list[list[list[float]]] = [[]]
    for count, row in enumerate(re.split(r"\r?\n|[;\r]", text.replace("−", "-")), 1):
        numbers = [_number(word, count) for word in re.split(r"[\s,]+", row) if word]
        if numbers:
            channels[-1].append(numbers)
            if len(numbers) != (width := len(channels[0][0])):
                raise ValueError(f"row {count} has a width of {len(numbers)}, the first one of {width}")
        elif channels[-1]:
            channels.append([])
    channels = [rows for rows in channels if rows]
    if not channels:
        raise ValueError("there is no number in it")
    for count, rows in enumerate(channels, 1):
        if len(rows) != len(channels[0]):
            raise ValueError(f"channel {count} has a height of {len(rows)}, the first one of {len(channels[0])}")
    return np.array(channels)


def kernel_of(text: str) -> NDArray[np.float64]:
    """Return the kernel [C, H, W] of a name, or the one that was typed."""
    text = text.strip()
    if text[:1].isalpha() and not NUMBERLIKE.match(text):
        if text not in CLASSIC_KERNELS:
            known = did_you_mean(text, CLASSIC_KERNELS)
            raise ConfigError(f"--kernel {one_line(text)}: unknown kernel{known}")
        text = CLASSIC_KERNELS[text].rows
    try:
        return parse_maps(text)
    except ValueError as error:
        raise ConfigError(f"--kernel {one_line(text)}: {error}; a semicolon ends a row: '0 1; 2 3'") from None


def maps_of(data: bytes, name: str, channels: int) -> tuple[NDArray[np.float64], bool]:
    """Return the maps [C, H, W] of a file, and whether it is a picture.

    A picture has 1 channel (grey) or 3, as asked for, from 0 to 255; rows of numbers have those that they have.
    """
    if (text := _text(data)) is not None:
        try:
            return parse_maps(text), False
        except ValueError as error:
            how = "what is no picture has a row of numbers a line, and an empty line between channels"
            raise DataError(f"{one_line(name)}: {error}; {how}") from None
    from cnncli.pipeline.decode import Picture  # torch comes with it

    try:
        pixels = Picture(None, data).pixels(channels, WHITE)
    except DataError as error:
        raise DataError(f"{one_line(name)}: {error}; name a picture, or rows of numbers as text in UTF-8") from None
    return pixels.numpy().astype(np.float64), True


def _text(data: bytes) -> str | None:
    """Return what a file says, ``None`` where it is no text, or a picture of the family PPM in letters."""
    if b"\0" in data or re.match(rb"P[1-7]\s", data):
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _number(word: str, row: int) -> float:
    above, slash, below = word.partition("/")
    try:
        number = float(above) / (float(below) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        number = float("nan")
    if not abs(number) <= LARGEST:
        wrong = f"is beyond {LARGEST:g}" if abs(number) > LARGEST else "is not a number"
        raise ValueError(f"row {row}: {one_line(word)[:40]} {wrong}")
    return number
