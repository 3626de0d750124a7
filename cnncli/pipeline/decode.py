"""From a file's bytes to upright pixels in grey or colour, whatever the kind of picture.

Pillow decides what is a picture. A JPEG in grey or colour is read by libjpeg-turbo directly (simplejpeg), to the same
pixels in half the time, and at a fraction of its size where that is enough; Pillow has the last word where that fails.
"""

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from cnncli.errors import DataError

Colour = tuple[int, int, int]

SCAN_OR_NOTHING = (b"\xda", b"\xff", b"")  # what ends the segments of a JPEG: its pixels, filling, the file's end
ORIENTATION = 0x0112  # EXIF's tag
MODES = {1: "L", 3: "RGB"}  # Pillow's names of grey and colour, by channels
NATIVE = {"L": "GRAY", "RGB": "RGB"}  # what JPEG files of these modes decode to without Pillow


class Picture:
    """A picture whose header was read: ``height`` and ``width`` as it is looked at, after its EXIF orientation.

    ``mode`` and ``format`` are Pillow's names, ``data`` is the file it comes from, if it comes from one.
    """

    def __init__(self, image: Image.Image | None, data: bytes = b"") -> None:
        self.data = data
        plain = _plain_jpeg(data) if image is None else None
        if plain is not None:
            (height, width), self.mode, self.format, self.orientation = *plain, "JPEG", 1
        else:
            if image is not None:
                self.image = image
            (width, height), self.mode, self.format = self.image.size, self.image.mode, self.image.format or ""
            self.orientation = _orientation(self.image)
        self.height, self.width = (height, width) if self.orientation < 5 else (width, height)

    @classmethod
    def read(cls, path: Path | bytes) -> "Picture":
        """Open a file; ``DataError`` if it is no picture, or larger than Pillow's limit against decompression bombs."""
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # which takes bytes too
                raise DataError("not a regular file")  # reading a pipe would wait for ever
            with open(path, "rb") as file:  # noqa: PTH123  # which takes bytes too
                data = file.read()
        except OSError as error:
            raise DataError(error.strerror or str(error)) from None
        if not data:
            raise DataError("an empty file")
        return cls(None, data)

    @cached_property
    def image(self) -> Image.Image:
        """The picture as Pillow has it."""
        with _pillow_errors():
            return Image.open(io.BytesIO(self.data))

    def pixels(self, channels: int, background: Colour, shrink: int = 1) -> Tensor:
        """Return uint8 [C, H, W]; of a JPEG file perhaps 1/``shrink`` of its height and width, a power of two up to 8.

        Transparent parts show the ``background``. Raises ``DataError`` if the file is cut short or damaged.
        """
        if channels not in MODES:
            raise DataError(f"a picture has 1 or 3 channels, this network wants {channels}")
        pixels = self._native(channels, shrink)
        if pixels is None:
            with _pillow_errors():
                self.image.load()
                pixels = np.array(converted(self.image, channels, background))
        return _upright(
            torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1), self.orientation
        )

    def _native(self, channels: int, shrink: int) -> NDArray[np.uint8] | None:
        """Decode a plain JPEG by libjpeg-turbo; ``None`` where Pillow has to."""
        if not self.data or self.format != "JPEG" or self.mode not in NATIVE:
            return None
        height, width = (self.height, self.width) if self.orientation < 5 else (self.width, self.height)
        least = {"min_height": -(-height // shrink), "min_width": -(-width // shrink)} if shrink > 1 else {}
        try:
            decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(self.data, NATIVE[self.mode], **least)
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


def _plain_jpeg(data: bytes) -> tuple[tuple[int, int], str] | None:
    """Return (height, width) and mode of a JPEG in grey or colour that says nothing of its orientation.

    libjpeg-turbo reads them thirty times as fast as Pillow, which is asked in all other cases.
    """
    start = 2 if data.startswith(b"\xff\xd8") else len(data)
    while data[start : start + 1] == b"\xff" and data[start + 1 : start + 2] not in SCAN_OR_NOTHING:
        start += 2 + int.from_bytes(data[start + 2 : start + 4])  # segments are a marker and their length
    header = data[:start]
    if start >= len(data) or b"Exif\0" in header or b"rientation" in header:  # the latter in XMP
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    mode = {"Gray": "L", "YCbCr": "RGB", "RGB": "RGB"}.get(colours)
    is_bomb = Image.MAX_IMAGE_PIXELS is not None and height * width > Image.MAX_IMAGE_PIXELS
    return None if mode is None or is_bomb else ((height, width), mode)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none, it is damaged, or Pillow heeds it itself."""
    if image.format == "TIFF":
        return 1
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
