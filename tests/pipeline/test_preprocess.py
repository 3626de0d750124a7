"""Preprocessing against torchvision and Pillow."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import convert_image_dtype, normalize

from cnncli.errors import DataError
from cnncli.pipeline.preprocess import Preprocess

COLOUR = Preprocess(8, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GREY = Preprocess(8, 1, (0.1307,), (0.3081,))


@pytest.mark.parametrize("preprocess", [COLOUR, GREY])
def test_normalising_equals_torchvision_to_the_bit(preprocess: Preprocess) -> None:
    images = torch.randint(0, 256, (5, preprocess.channels, 8, 8), dtype=torch.uint8)
    theirs = normalize(convert_image_dtype(images), list(preprocess.mean), list(preprocess.std))
    assert torch.equal(preprocess.normalise(images), theirs)


@pytest.mark.parametrize(("preprocess", "mode"), [(COLOUR, "RGB"), (GREY, "L")])
@pytest.mark.parametrize("source", ["RGB", "L", "RGBA", "P", "1"])
def test_pixels_are_pillows(preprocess: Preprocess, mode: str, source: str) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    picture = Image.fromarray(drawn).convert(source)
    expected = np.array(picture.convert(mode).resize((8, 8), Image.Resampling.BILINEAR)).reshape(8, 8, -1)
    assert torch.equal(preprocess.pixels(picture), torch.from_numpy(expected).permute(2, 0, 1))
    assert torch.equal(preprocess(picture), preprocess.normalise(preprocess.pixels(picture)[None]))


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_text("no picture")
    for name in (path, tmp_path / "missing.png", tmp_path):
        with pytest.raises(DataError, match=str(name)) as error:
            GREY(name)
        assert error.value.exit_code == 3


def test_it_survives_as_plain_numbers() -> None:
    assert Preprocess.from_dict(COLOUR.to_dict()) == COLOUR
