"""Preprocessing against torchvision and Pillow."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import convert_image_dtype, normalize

from cnncli.errors import DataError
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
