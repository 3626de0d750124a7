"""Maps from what somebody typed and from pictures; the classic kernels against scipy's filters."""

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cnncli.analysis.classic_kernels import CLASSIC_KERNELS
from cnncli.analysis.convolution import convolve, window_of
from cnncli.analysis.matrices import kernel_of, maps_of, parse_maps
from cnncli.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("text", "maps"),
    [
        ("0 1; 2 3", [[[0, 1], [2, 3]]]),
        ("1 -1", [[[1, -1]]]),
        ("1, 2\r\n3,4\r\n", [[[1, 2], [3, 4]]]),
        ("1\t2\r3\t4\n\n\n", [[[1, 2], [3, 4]]]),
        ("1/2 .5 -2e-1;1/-4 3 0;", [[[0.5, 0.5, -0.2], [-0.25, 3, 0]]]),
        ("\n1 2\n\n3 4\n \n5 6\n", [[[1, 2]], [[3, 4]], [[5, 6]]]),
        ("1 2;3 4;;5 6;7 8", [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
    ],
)
def test_rows_are_read(text: str, maps: Any) -> None:
    assert parse_maps(text).tolist() == maps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no number in it"),
        (" ;\n", "there is no number in it"),
        ("1 2\n\n3", "row 3 has a width of 1, the first one of 2"),
        ("1 2;3 4;;5 6", "channel 2 has a height of 1, the first one of 2"),
        ("1 2\n3 x\x1b[1m", r"row 2: x\x1b[1m is not a number"),
        ("nan", "row 1: nan is not a number"),
        ("1/0", "row 1: 1/0 is not a number"),
        ("1/2/3", "row 1: 1/2/3 is not a number"),
        ("inf", "row 1: inf is beyond 1e+30"),
        ("1e400", "row 1: 1e400 is beyond 1e+30"),
    ],
)
def test_what_is_wrong_with_rows_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_maps(text)
    with pytest.raises(DataError, match=re.escape(f"m.txt: {message}; what is no picture has")):
        maps_of(text.encode(), "m.txt", 1)


FILTERS: dict[str, Any] = {
    "sobel-x": lambda maps: ndimage.sobel(maps, 1, mode="constant"),
    "sobel-y": lambda maps: ndimage.sobel(maps, 0, mode="constant"),
    "prewitt-x": lambda maps: ndimage.prewitt(maps, 1, mode="constant"),
    "prewitt-y": lambda maps: ndimage.prewitt(maps, 0, mode="constant"),
    "laplacian": lambda maps: ndimage.laplace(maps, mode="constant"),
    "box": lambda maps: ndimage.uniform_filter(maps, 3, mode="constant"),
    "gauss": lambda maps: _binomial(_binomial(maps, 0), 1),
    "sharpen": lambda maps: maps - ndimage.laplace(maps, mode="constant"),
}


def _binomial(maps: Any, axis: int) -> Any:
    return ndimage.correlate1d(maps, np.array([0.25, 0.5, 0.25]), axis, mode="constant")


@pytest.mark.parametrize("name", CLASSIC_KERNELS)
def test_classic_kernels_are_scipys_filters(name: str) -> None:
    maps = np.random.default_rng(0).normal(size=(7, 9))
    result = convolve(maps[None], kernel_of(name), window_of((3, 3), padding="same"))
    np.testing.assert_allclose(result.output[0], FILTERS[name](maps), atol=1e-12)


def test_a_kernel_is_a_name_or_rows() -> None:
    assert kernel_of(" sobel-x ").tolist() == [[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]]
    for text, message in (
        ("sobel", "--kernel sobel: unknown kernel; did you mean sobel-y or sobel-x?"),
        ("Gauß", "--kernel Gauß: unknown kernel; did you mean gauss?"),
        ("1 2; 3", "--kernel 1 2; 3: row 2 has a width of 1, the first one of 2; a semicolon ends a row: '0 1; 2 3'"),
        ("", "--kernel : there is no number in it"),
    ):
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
            kernel_of(text)


@pytest.mark.parametrize("kind", ["PNG", "PPM", "BMP", "GIF", "TIFF", "JPEG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_their_pixels_as_pillow_has_them(kind: str, channels: int) -> None:
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((20, 16))
    file = io.BytesIO()
    smooth.save(file, kind)
    maps, is_picture = maps_of(file.getvalue(), "a", channels)
    expected = np.asarray(Image.open(file).convert("RGB").convert({1: "L", 3: "RGB"}[channels]), np.float64)
    assert is_picture
    np.testing.assert_array_equal(maps, expected.reshape(16, 20, channels).transpose(2, 0, 1))


def test_text_may_be_a_picture_or_marked_as_text() -> None:
    assert maps_of(b"P2\n2 2\n255\n0 255\n128 7\n", "a.pgm", 1)[0].tolist() == [[[0, 255], [128, 7]]]
    assert maps_of(b"\xef\xbb\xbf1 2\r\n", "a.txt", 3)[0].tolist() == [[[1, 2]]]


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", bytes(50), "1 2".encode("utf-16"), b"1 2\xff"])
def test_what_is_neither_is_refused(data: bytes) -> None:
    message = re.escape(r"a\nb: ") + ".*; name a picture, or rows of numbers as text in UTF-8"
    with pytest.raises(DataError, match=message):
        maps_of(data, "a\nb", 1)
