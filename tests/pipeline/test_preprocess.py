"""Preprocessing against torchvision and Pillow."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import convert_image_dtype, normalize

from cnncli.errors import DataError
from cnncli.pipeline.decode import Picture
from cnncli.pipeline.preprocess import Preprocess

COLOUR = Preprocess(8, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GREY = Preprocess(8, 1, (0.1307,), (0.3081,))


@pytest.mark.parametrize("preprocess", [COLOUR, GREY])
def test_normalising_equals_torchvision_to_the_bit(preprocess: Preprocess) -> None:
    """Every value of a pixel. Its transforms v2 fold 1/255 into mean and deviation, and so differ in the last bits."""
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, preprocess.channels, 16, 16)
    theirs = normalize(convert_image_dtype(images), list(preprocess.mean), list(preprocess.std))
    assert torch.equal(preprocess.normalise(images), theirs)
    steps = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(preprocess.mean, preprocess.std)])
    torch.testing.assert_close(preprocess.normalise(images), steps(images))


def over_white(picture: Image.Image) -> Image.Image:
    """Show transparent parts in white."""
    return (
        Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture) if picture.mode == "RGBA" else picture
    )


@pytest.mark.parametrize(("preprocess", "mode"), [(COLOUR, "RGB"), (GREY, "L")])
@pytest.mark.parametrize("source", ["RGB", "L", "RGBA", "P", "1"])
def test_pixels_are_pillows(preprocess: Preprocess, mode: str, source: str) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    picture = Image.fromarray(drawn).convert(source)
    expected = np.array(over_white(picture).convert(mode).resize((8, 8), Image.Resampling.BILINEAR)).reshape(8, 8, -1)
    ours = preprocess.pixels(picture)
    # torch scales as Pillow does, with weights rounded otherwise: 1 of 255 at most.
    torch.testing.assert_close(ours.int(), torch.from_numpy(expected).permute(2, 0, 1).int(), rtol=0, atol=1)
    assert torch.equal(preprocess(picture), preprocess.normalise(preprocess.pixels(picture)[None]))


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_text("no picture")
    for name in (path, tmp_path / "missing.png", tmp_path):
        with pytest.raises(DataError, match=str(name)) as error:
            GREY(name)
        assert error.value.exit_code == 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "PPM", "BMP"])
def test_a_picture_that_was_cut_short_is_no_picture(kind: str, tmp_path: Path) -> None:
    """Pillow's readers raise OSError, SyntaxError or ValueError, depending on the format and the place."""
    path, whole = tmp_path / "picture", io.BytesIO()
    Image.effect_noise((20, 20), 50).save(whole, kind)
    for length in range(0, len(whole.getvalue()) // 2, 7):
        path.write_bytes(whole.getvalue()[:length])
        with pytest.raises(DataError, match=f"{path}: (not a|an empty)"):
            GREY.pixels(path)
    path.write_bytes(whole.getvalue())
    assert GREY.pixels(path).shape == (1, 8, 8)


def test_a_network_of_other_channels_sees_no_pictures() -> None:
    with pytest.raises(DataError, match="this network wants 2"):
        Preprocess(8, 2, (0.0, 0.0), (1.0, 1.0)).pixels(Image.new("L", (8, 8)))


def test_it_survives_as_plain_numbers() -> None:
    assert json.loads(json.dumps(COLOUR.to_dict())) == COLOUR.to_dict()
    assert Preprocess.from_dict(COLOUR.to_dict()) == COLOUR


WIDE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 31, 3), dtype=np.uint8))  # 20 high, 31 wide


def close(ours: torch.Tensor, theirs: Image.Image) -> None:
    """Compare with Pillow's pixels, whose weights of scaling are rounded otherwise: to 1 of 255."""
    expected = torch.from_numpy(np.array(theirs)).permute(2, 0, 1).int()
    torch.testing.assert_close(ours.int(), expected, rtol=0, atol=1)


def test_crop_takes_the_middle_square() -> None:
    expected = WIDE.crop((5, 0, 25, 20)).resize((10, 10), Image.Resampling.BILINEAR)
    close(replace(COLOUR, size=10, resize="crop").pixels(WIDE), expected)


@pytest.mark.parametrize("turned", [False, True])
def test_pad_shows_all_of_it_on_the_background(turned: bool) -> None:
    picture = WIDE.transpose(Image.Transpose.ROTATE_90) if turned else WIDE
    expected = Image.new("RGB", (10, 10), (9, 99, 199))
    scaled = picture.resize((6, 10) if turned else (10, 6), Image.Resampling.BILINEAR)  # 20 · 10 / 31 = 6.45
    expected.paste(scaled, (2, 0) if turned else (0, 2))
    close(replace(COLOUR, size=10, resize="pad", background=(9, 99, 199)).pixels(picture), expected)


def test_padding_of_grey_pictures_is_the_grey_of_the_background() -> None:
    """Pillow's own grey of the colour."""
    grey = replace(GREY, size=10, resize="pad", background=(9, 99, 199))
    assert grey.pixels(WIDE)[0, 0, 0] == Image.new("RGB", (1, 1), (9, 99, 199)).convert("L").getpixel((0, 0))


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_of_a_canvas_the_middle_is_seen(resize: str) -> None:
    """As torchvision's Resize and CenterCrop have it."""
    canvas = replace(COLOUR, size=8, canvas=12, resize=resize)  # type: ignore[arg-type]
    steps = v2.Compose([v2.PILToTensor(), v2.Resize([12, 12], antialias=True), v2.CenterCrop(8)])
    ours, theirs = canvas.pixels(WIDE), steps(WIDE if resize == "squash" else WIDE.crop((5, 0, 25, 20)))
    assert ours.shape == (3, 8, 8)
    torch.testing.assert_close(ours.int(), theirs.int(), rtol=0, atol=1)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2)])
def test_any_shape_fits(resize: str, shape: tuple[int, int]) -> None:
    seen = replace(COLOUR, canvas=11, resize=resize).pixels(Image.new("RGB", shape, (10, 20, 30)))  # type: ignore[arg-type]
    assert seen.shape == (3, 8, 8)
    assert seen[:, 4, 4].tolist() == [10, 20, 30]


def test_a_large_jpeg_may_be_decoded_at_a_fraction(tmp_path: Path) -> None:
    """Where it is at least twice the target; the scaling is libjpeg's then, and about the same."""
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((64, 64)).save(path)
    for size, is_same in ((64, True), (33, True), (32, False), (8, False)):
        preprocess = replace(COLOUR, size=size)
        whole = preprocess.on_canvas(Picture.read(path))
        shrunk = preprocess.on_canvas(Picture.read(path), may_shrink=True)
        assert torch.equal(whole, shrunk) is is_same
        assert (whole.float() - shrunk.float()).abs().mean() < 5


def test_arrays_are_brought_to_colour_and_size_as_pictures_are() -> None:
    arrays = torch.from_numpy(np.array(WIDE.resize((20, 20)))).permute(2, 0, 1)[None]
    for preprocess in (COLOUR, GREY):
        expected = preprocess.on_canvas(Picture(WIDE.resize((20, 20))))
        torch.testing.assert_close(preprocess.fit(arrays)[0].int(), expected.int(), rtol=0, atol=1)
    assert torch.equal(replace(COLOUR, size=20).fit(arrays[:, :1]), arrays[:, :1].expand(-1, 3, -1, -1))


def test_what_is_shown_is_what_was_normalised() -> None:
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(COLOUR.shown(COLOUR.normalise(images)), images / 255)


@pytest.mark.parametrize("size", [(8, 8), (40, 40)])
def test_bicubic_is_pillows_where_it_is_asked_for(size: tuple[int, int]) -> None:
    preprocess = replace(COLOUR, size=size[0], interpolation="bicubic")
    close(preprocess.pixels(WIDE), WIDE.resize(size, Image.Resampling.BICUBIC))
    assert Preprocess.from_dict(preprocess.to_dict()) == preprocess
    older = {key: value for key, value in COLOUR.to_dict().items() if key != "interpolation"}
    assert Preprocess.from_dict(older) == COLOUR  # as checkpoints were before there was a choice
