"""From a file's bytes to upright pixels in grey or colour, whatever the kind of picture.

Pillow decides what is a picture, of the formats that pixels are kept in: it would have PostScript run by Ghostscript,
whatever the file is called. A JPEG in grey or colour is read by libjpeg-turbo directly (simplejpeg), to the same
pixels in half the time, and at a fraction of its size where that is enough; Pillow has the last word where that fails.
"""

import io
import os
import re
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from cnncli.errors import DataError

Colour = tuple[int, int, int]

# Markers of the JPEG standard (ITU-T T.81, table B.1), after a byte 0xFF: frames that come row by row, the start of the
# pixels, the end; and whatever has no place among pixels, where only a zero, restarts and filling follow a 0xFF.
SOF, SOS, EOI = (b"\xc0", b"\xc1"), b"\xda", b"\xff\xd9"
STRAY = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
FORMATS = [
    *("JPEG", "PNG", "GIF", "BMP", "DIB", "PPM"),  # which Pillow looks for without importing all the others
    *("WEBP", "TIFF", "AVIF", "JPEG2000", "TGA", "ICO", "PCX", "QOI", "SGI", "PSD", "DDS"),
]
ORIENTATION = 0x0112  # EXIF's tag
MODES = {1: "L", 3: "RGB"}  # Pillow's names of grey and colour, by channels
MARGIN = 4  # rows below a part that its last row depends on, where colours are stored at half the height; and rounding
NATIVE = {"L": "GRAY", "RGB": "RGB"}  # what JPEG files of these modes decode to without Pillow


class Picture:
    """A picture whose header was read: ``height`` and ``width`` as it is looked at, after its EXIF orientation.

    ``mode`` and ``format`` are Pillow's names, ``data`` is the file it comes from, if it comes from one.
    """

    def __init__(self, image: Image.Image | None, data: bytes = b"") -> None:
        self.data = data
        self.plain = _plain_jpeg(data) if image is None else None
        if self.plain is not None:
            height, width, self.mode = self.plain[:3]
            self.format, self.orientation = "JPEG", 1
        else:
            if image is not None:
                self.image = image
            (width, height), self.mode, self.format = self.image.size, self.image.mode, self.image.format or ""
            self.orientation = _orientation(self.image, data)
        self.height, self.width = (height, width) if self.orientation < 5 else (width, height)

    @classmethod
    def read(cls, path: Path | bytes) -> "Picture":
        """Open a file; ``DataError`` if it is no picture, or larger than Pillow's limit against decompression bombs."""
        try:
            data = _content(path)
        except OSError as error:
            raise DataError(error.strerror or str(error)) from None
        if not data:
            raise DataError("an empty file")
        return cls(None, data)

    @cached_property
    def image(self) -> Image.Image:
        """The picture as Pillow has it."""
        with _pillow_errors():
            return Image.open(io.BytesIO(self.data), formats=FORMATS)

    def pixels(self, channels: int, background: Colour, shrink: int = 1) -> Tensor:
        """Return uint8 [C, H, W]; see :meth:`part`."""
        return self.part((0, 0, self.height, self.width), channels, background, shrink)

    def part(self, box: Sequence[int], channels: int, background: Colour, shrink: int = 1) -> Tensor:
        """Return a part (top, left, height, width) as uint8 [C, H, W].

        That of a JPEG file has perhaps 1/``shrink`` of its height and width, a power of two up to 8. Transparent
        parts show the ``background``. Raises ``DataError`` if the file is cut short or damaged.
        """
        if channels not in MODES:
            raise DataError(f"a picture has 1 or 3 channels, this network wants {channels}")
        top, left, height, width = box
        pixels = self._native(channels, shrink, top + height)
        if pixels is None:
            shrink = 1
            with _pillow_errors():
                self.image.load()
                pixels = np.array(converted(self.image, channels, background))
        upright = _upright(
            torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1), self.orientation
        )
        down, across = (-(-length // shrink) / length for length in (self.height, self.width))
        top, left = round(top * down), round(left * across)
        height, width = max(round(height * down), 1), max(round(width * across), 1)
        return upright[:, top : top + height, left : left + width]

    def _native(self, channels: int, shrink: int, bottom: int) -> NDArray[np.uint8] | None:
        """Decode a JPEG by libjpeg-turbo, of a plain one the rows above ``bottom``; ``None`` where Pillow has to."""
        if not self.data or self.format != "JPEG" or self.mode not in NATIVE:
            return None
        height, width = (self.height, self.width) if self.orientation < 5 else (self.width, self.height)
        data, is_whole = self.data, True
        if self.plain is not None and bottom + MARGIN * shrink < height and _can_be_cut(data, self.plain):
            # Told that the picture ends there, the decoder stops there; what follows would be an error to a strict one.
            height, is_whole = bottom + MARGIN * shrink, False
            place = self.plain.height_offset
            data = b"".join((data[:place], height.to_bytes(2), data[place + 2 :]))
        least = {"min_height": -(-height // shrink), "min_width": -(-width // shrink)} if shrink > 1 else {}
        try:
            decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, NATIVE[self.mode], strict=is_whole, **least)
        except ValueError:  # Pillow says what is wrong with it, or that it is not so bad
            return None
        if self.mode == MODES[channels]:
            return decoded
        return np.array(Image.fromarray(decoded.squeeze()).convert(MODES[channels]))


def converted(image: Image.Image, channels: int, background: Colour) -> Image.Image:
    """Return a picture of any of Pillow's modes in grey (1 channel) or colour (3).

    Whole numbers of 16 bits and more are scaled from 0 to 65,535, fractions (mode F) are taken from 0 to 255.
    """
    mode = image.mode
    if mode.startswith("I"):
        image = Image.fromarray(
            ((np.asarray(image).clip(0, 65535).astype(np.int64) * 255 + 32767) // 65535).astype("u1")
        )
    elif mode == "F":
        image = Image.fromarray(np.nan_to_num(np.asarray(image)).clip(0, 255).round().astype("u1"))
    elif mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    elif image.has_transparency_data:
        image = image.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, mode)).convert("RGBA")
        ground = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(ground, image).convert("RGB")
    return image if image.mode == MODES[channels] else image.convert(MODES[channels])


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Turn whatever a reader of Pillow raises on a stranger's bytes into a ``DataError``; show no warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except DataError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            limit = f"{Image.MAX_IMAGE_PIXELS:,}"
            raise DataError(f"more than {limit} pixels, which may be a decompression bomb") from None
        except UnidentifiedImageError:
            raise DataError("not a picture that Pillow knows") from None
        except Exception as error:
            raise DataError(f"not a whole picture: {error}") from None


class PlainJPEG(NamedTuple):
    """What the header of a JPEG says; where in the file its height stands (0: rows are not in order) and its pixels."""

    height: int
    width: int
    mode: str
    height_offset: int
    scan_offset: int


def _plain_jpeg(data: bytes) -> PlainJPEG | None:
    """Read the header of a JPEG in grey or colour that says nothing of its orientation.

    libjpeg-turbo reads them thirty times as fast as Pillow, which is asked in all other cases.
    """
    start, place = 2 if data.startswith(b"\xff\xd8") else len(data), 0
    while data[start : start + 1] == b"\xff" and (marker := data[start + 1 : start + 2]) not in (SOS, b"\xff", b""):
        if marker in SOF:
            place = start + 5  # after the marker, the segment's length and the bits a sample
        start += 2 + int.from_bytes(data[start + 2 : start + 4])  # segments are a marker and their length
    header = data[:start]
    if data[start : start + 2] != b"\xff" + SOS or b"Exif\0" in header or b"rientation" in header:  # the latter in XMP
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    mode = {"Gray": "L", "YCbCr": "RGB", "RGB": "RGB"}.get(colours)
    is_bomb = Image.MAX_IMAGE_PIXELS is not None and height * width > Image.MAX_IMAGE_PIXELS
    if mode is None or is_bomb:
        return None
    has_one_scan = data[start + 4 : start + 5] == data[place + 4 : place + 5]  # of as many colours as the picture has
    return PlainJPEG(height, width, mode, place if has_one_scan and data.endswith(EOI) else 0, start + 2)


def _can_be_cut(data: bytes, plain: PlainJPEG) -> bool:
    """Whether a JPEG can be read down to some row.

    Not if it is visibly damaged anywhere: whether a file is broken must not depend on the rows that are wanted.
    """
    return plain.height_offset > 0 and not STRAY.search(data, plain.scan_offset, len(data) - 2)


def _content(path: Path | bytes) -> bytes:
    """Return what is in a file; ``DataError`` if it is a pipe or the like, which one would wait for."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DataError("not a regular file")
        return os.read(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _orientation(image: Image.Image, data: bytes) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none, it is damaged, or Pillow heeds it itself."""
    if image.format == "TIFF":
        return 1
    if image.format == "PNG" and data and not any(word in data for word in (b"eXIf", b"Raw profile", b"adobe.xmp")):
        return 1  # Pillow would decode the picture to look for them
    try:
        with _pillow_errors():
            value = image.getexif().get(ORIENTATION, 1)
    except DataError:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: Tensor, orientation: int) -> Tensor:
    """Turn [C, H, W] as its EXIF orientation says."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 2)
    flipped: dict[int, tuple[Literal[1, 2], ...]] = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}
    return pixels.flip(flipped[orientation]) if orientation in flipped else pixels
