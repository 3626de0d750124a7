"""Pictures of every kind against Pillow."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from cnncli.errors import DataError
from cnncli.pipeline.decode import ORIENTATION, Picture, converted

WHITE = (255, 255, 255)
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8))
SMOOTH = NOISE.resize((120, 80), Image.Resampling.BICUBIC)


def saved(picture: Image.Image, path: Path, **options: object) -> Path:
    picture.save(path, **options)
    return path


def as_array(pixels: torch.Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return pixels.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 50}])
def test_a_jpeg_has_the_pixels_that_pillow_gives_it(
    mode: str, channels: int, options: dict[str, object], tmp_path: Path
) -> None:
    """Both are libjpeg-turbo; in its exact mode it gives the same bits to both."""
    path = saved(SMOOTH.convert(mode), tmp_path / "a.jpg", **options)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(80, 120, channels)
    np.testing.assert_array_equal(as_array(Picture.read(path).pixels(channels, WHITE)), expected)


@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_a_jpeg_decoded_at_a_fraction_is_that_picture_made_smaller(shrink: int, tmp_path: Path) -> None:
    path = saved(SMOOTH, tmp_path / "a.jpg", quality=95)
    ours = as_array(Picture.read(path).pixels(3, WHITE, shrink))
    assert ours.shape == (80 // shrink, 120 // shrink, 3)
    expected = np.asarray(SMOOTH.reduce(shrink)).astype(int)
    assert np.abs(ours - expected).mean() < 3  # of 255: the mean over each square of pixels, but for JPEG's own loss


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options",
    [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"restart_marker_rows": 1}, {"progressive": 1}],
)
@pytest.mark.parametrize("shrink", [1, 2, 4])
def test_a_part_of_a_jpeg_has_the_pixels_that_the_whole_has_there(
    mode: str, options: dict[str, int], shrink: int, tmp_path: Path
) -> None:
    """To the bit, though the decoder stops below it."""
    noisy = Image.effect_noise((120, 99), 60).convert("RGB")
    noisy.paste(SMOOTH.crop((0, 0, 60, 80)), (30, 10))
    path = saved(noisy.convert(mode), tmp_path / "a.jpg", quality=95, **options)
    whole = Picture.read(path).pixels(3, WHITE, shrink)
    for top, height in ((0, 8), (1, 30), (16, 16), (33, 40), (57, 42), (90, 9)):
        part = Picture.read(path).part((top, 20, height, 64), 3, WHITE, shrink)
        first, left = round(top * whole.shape[1] / 99), round(20 * whole.shape[2] / 120)
        assert part.shape[1] == round(height * whole.shape[1] / 99)
        assert torch.equal(part, whole[:, first : first + part.shape[1], left : left + part.shape[2]])


@pytest.mark.parametrize("lost", [1, 50, 2000])
def test_a_jpeg_that_was_cut_short_has_no_whole_part(lost: int, tmp_path: Path) -> None:
    """Even one that lies above what is lost: whether a file is broken does not depend on the crop."""
    path = saved(Image.effect_noise((120, 99), 60), tmp_path / "a.jpg", quality=95)
    path.write_bytes(path.read_bytes()[:-lost])
    for box in ((0, 0, 99, 120), (0, 0, 20, 20)):
        with pytest.raises(DataError, match="not a whole picture: image file is truncated"):
            Picture.read(path).part(box, 3, WHITE)


def test_a_jpeg_that_is_damaged_below_a_part_is_broken(tmp_path: Path) -> None:
    """By bytes that Pillow refuses: here too it does not depend on the crop."""
    path = saved(Image.effect_noise((500, 400), 60), tmp_path / "a.jpg", quality=95)
    data = bytearray(path.read_bytes())
    middle = slice(len(data) // 2, len(data) // 2 + 4000)
    data[middle] = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    for box in ((0, 0, 400, 500), (0, 0, 390, 500), (0, 0, 20, 20)):
        with pytest.raises(DataError, match="not a whole picture: broken data stream"):
            Picture.read(path).part(box, 3, WHITE)


def test_filling_before_a_segment_hides_no_orientation(tmp_path: Path) -> None:
    """A legal 0xFF before a marker (ITU-T T.81, B.1.1.2)."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = saved(SMOOTH, tmp_path / "a.jpg", exif=exif).read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff" + data[2:])
    assert Picture.read(tmp_path / "a.jpg").orientation == 6


def test_a_png_may_be_turned_by_xmp(tmp_path: Path) -> None:
    """As Pillow reads it from there."""
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x xmlns:tiff="t" tiff:Orientation="6"/>')
    assert Picture.read(saved(SMOOTH, tmp_path / "a.png", pnginfo=info)).orientation == 6


def test_a_png_is_not_decoded_to_be_opened(tmp_path: Path) -> None:
    """To look for an orientation that is not there; see the next test for one that is."""
    picture = Picture.read(saved(NOISE, tmp_path / "a.png"))
    assert (picture.orientation, picture.image._im) == (1, None)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tiff", "webp"])
def test_exif_turns_a_picture_as_pillow_does(orientation: int, kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(SMOOTH, tmp_path / f"a.{kind}", exif=exif)
    assert np.asarray(SMOOTH).shape[:2] == (80, 120)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert expected.shape[:2] == ((80, 120) if orientation < 5 else (120, 80))
    picture = Picture.read(path)
    assert (picture.height, picture.width) == expected.shape[:2]
    np.testing.assert_array_equal(as_array(picture.pixels(3, WHITE)), expected)


def test_sixteen_bits_of_grey_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 1000, 32768, 65535]], dtype=np.uint16)
    path = saved(Image.fromarray(values), tmp_path / "a.png")
    expected = [round(value * 255 / 65535) for value in values[0].tolist()]  # 0, 1, 4, 128, 255
    assert Picture.read(path).pixels(1, WHITE).flatten().tolist() == expected
    assert Picture.read(path).pixels(3, WHITE)[2].flatten().tolist() == expected


@pytest.mark.parametrize("background", [(255, 255, 255), (10, 200, 30)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_transparency_shows_the_background(mode: str, background: tuple[int, int, int], tmp_path: Path) -> None:
    alpha = Image.fromarray(np.linspace(0, 255, 24 * 36, dtype=np.uint8).reshape(24, 36))
    picture = NOISE.copy()
    picture.putalpha(alpha)
    if mode in ("LA", "PA"):
        picture = picture.convert("LA").convert(mode)
    if mode == "P":
        picture = picture.quantize(64)
    ground = Image.new("RGBA", picture.size, (*background, 255))
    expected = Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")
    np.testing.assert_array_equal(np.asarray(converted(picture, 3, background)), np.asarray(expected))
    if mode != "PA":
        path = saved(picture, tmp_path / "a.png")
        np.testing.assert_array_equal(as_array(Picture.read(path).pixels(3, background)), np.asarray(expected))


def test_one_colour_named_transparent_is_transparent(tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (2, 2), (1, 2, 3)), tmp_path / "a.png", transparency=(1, 2, 3))
    assert Picture.read(path).pixels(3, (9, 8, 7))[:, 0, 0].tolist() == [9, 8, 7]


@pytest.mark.parametrize("mode", sorted(Image.MODES))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_of_pillow_has_pixels(mode: str, channels: int) -> None:
    result = converted(Image.new(mode, (3, 2)), channels, WHITE)
    assert result.mode == {1: "L", 3: "RGB"}[channels]
    assert result.size == (3, 2)


def test_fractions_are_taken_from_0_to_255() -> None:
    values = np.array([[-5.0, 0.0, 127.4, 255.0, 300.0, np.nan]], dtype=np.float32)
    assert np.asarray(converted(Image.fromarray(values), 1, WHITE)).tolist() == [[0, 0, 127, 255, 255, 0]]


def test_lab_has_the_colours_that_its_definition_gives() -> None:
    """L* = 100 is white, 0 black; Pillow stores L* times 2.55, and a*, b* plus 128."""
    for lightness, expected in ((255, 255), (0, 0)):
        pixel = np.asarray(converted(Image.new("LAB", (1, 1), (lightness, 128, 128)), 3, WHITE))[0, 0]
        assert np.abs(pixel.astype(int) - expected).max() <= 2


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "green", "blue")]
    for kind in ("gif", "webp", "png"):
        options = {"lossless": True} if kind == "webp" else {}
        path = saved(frames[0], tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:], **options)
        assert Picture.read(path).pixels(3, WHITE)[:, 0, 0].tolist() == [255, 0, 0]


def damaged(tmp_path: Path) -> dict[str, bytes]:
    jpeg, png = io.BytesIO(), io.BytesIO()
    SMOOTH.save(jpeg, "JPEG")
    SMOOTH.save(png, "PNG")
    return {
        "an empty file": b"",
        "not a picture that Pillow knows": b"this is text",
        "not a whole picture": jpeg.getvalue()[: len(jpeg.getvalue()) // 2],
        "not a whole picture: ": png.getvalue()[: len(png.getvalue()) // 2],
    }


@pytest.mark.parametrize("what", range(4))
def test_what_is_broken_is_named(what: int, tmp_path: Path) -> None:
    message, content = list(damaged(tmp_path).items())[what]
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        Picture.read(path).pixels(3, WHITE)
    assert error.value.exit_code == 3


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_hundred_megapixels_may_be_a_bomb(kind: str, tmp_path: Path) -> None:
    path = saved(Image.new("1", (10_000, 10_000)), tmp_path / f"a.{kind}")
    with pytest.raises(DataError, match="more than 89,478,485 pixels, which may be a decompression bomb"):
        Picture.read(path)


def test_damaged_exif_is_none(tmp_path: Path) -> None:
    path = saved(SMOOTH, tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert Picture.read(path).orientation == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="not a regular file"):
        Picture.read(tmp_path / "a.png")


@pytest.mark.parametrize(("name", "message"), [("absent.png", "No such file"), ("loop.png", "Too many levels")])
def test_what_cannot_be_opened_is_named(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    with pytest.raises(DataError, match=message):
        Picture.read(tmp_path / name)


def test_postscript_is_no_picture_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would start Ghostscript, which runs the program that such a file is."""
    path = saved(NOISE, tmp_path / "a.eps").rename(tmp_path / "a.png")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    with pytest.raises(DataError, match="not a picture that Pillow knows"):
        Picture.read(path).pixels(3, WHITE)


@pytest.mark.parametrize("kind", ["bmp", "dds", "gif", "ico", "jp2", "pcx", "ppm", "qoi", "sgi", "tga", "tiff", "webp"])
def test_kinds_of_pictures_that_are_read(kind: str, tmp_path: Path) -> None:
    picture = NOISE.crop((0, 0, 16, 16))
    assert Picture.read(saved(picture, tmp_path / f"a.{kind}")).pixels(3, WHITE).shape == (3, 16, 16)
