"""The pictures of a run's curves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnncli.pages.curves import draw_curves


def history(epochs: int, *splits: str) -> list[dict[str, Any]]:
    return [
        {"epoch": n, "val": None, **{s: {"loss": 1 / n, "accuracy": 1 - 0.5 / n} for s in splits}}
        for n in range(1, epochs + 1)
    ]


@pytest.mark.parametrize("splits", [("train", "val"), ("train", "test"), ("train",)])
@pytest.mark.parametrize("epochs", [1, 5, 100])
def test_a_run_is_drawn(splits: tuple[str, ...], epochs: int, tmp_path: Path) -> None:
    draw_curves({"a $run_with^ odd {name}": history(epochs, *splits)}, tmp_path / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1000, 420)
        assert len(np.unique(np.array(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10  # not blank


def test_runs_lie_over_each_other_in_colours_of_their_own(tmp_path: Path) -> None:
    draw_curves({name: history(5, "train", "val") for name in ("one", "two", "three")}, tmp_path / "c.png")
    pixels = {tuple(pixel) for pixel in np.array(Image.open(tmp_path / "c.png").convert("RGB")).reshape(-1, 3)}
    # Okabe and Ito's blue, vermilion and green
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)} <= pixels
