"""The pictures of a run's curves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cnncli.errors import ConfigError
from cnncli.pages.curves import draw_curves


def history(epochs: int, *splits: str) -> list[dict[str, Any]]:
    return [
        {"epoch": n, "val": None, **{s: {"loss": 1 / n, "accuracy": 1 - 0.5 / n} for s in splits}}
        for n in range(1, epochs + 1)
    ]


def size(path: Path) -> tuple[int, int]:
    """Return width and height of a picture."""
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.parametrize("splits", [("train", "val"), ("train", "test"), ("train",)])
@pytest.mark.parametrize("epochs", [1, 5, 100])
def test_a_run_is_drawn(splits: tuple[str, ...], epochs: int, tmp_path: Path) -> None:
    draw_curves({"a $run_with^ odd {name}": history(epochs, *splits)}, tmp_path / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (1000, 440)
        assert len(np.unique(np.array(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10  # not blank


def test_runs_lie_over_each_other_in_colours_of_their_own(tmp_path: Path) -> None:
    draw_curves({name: history(5, "train", "val") for name in ("one", "two", "three")}, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        pixels = {tuple(pixel) for pixel in np.array(picture.convert("RGB")).reshape(-1, 3)}
    # Okabe and Ito's blue, vermilion and green
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)} <= pixels


@pytest.mark.parametrize("name", ["a$x^$b", "$_$", r"\$\frac{$", "_x", "%s", "\u6570\u5b57", "a\nb", "n" * 300])
def test_names_are_drawn_as_they_are(name: str, tmp_path: Path) -> None:
    """No formula of matplotlib's, no warning where its font lacks the letters, and no legend without the run."""
    draw_curves({name: history(2, "train", "val")}, tmp_path / "one.png")
    draw_curves({name: history(2, "train", "val"), "other": history(3, "train")}, tmp_path / "two.png")
    assert set(map(size, tmp_path.iterdir())) == {(1000, 440), (1000, 460)}


def test_a_run_that_diverged_is_drawn(tmp_path: Path) -> None:
    rows = history(3, "train", "val")
    rows[1]["train"]["loss"], rows[2]["train"]["loss"] = float("inf"), float("nan")
    draw_curves({"diverged": rows}, tmp_path / "curves.png")
    assert size(tmp_path / "curves.png") == (1000, 440)


def test_a_legend_names_every_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that begin with _ are those that matplotlib leaves out of a legend of its own accord."""
    legends = []
    real = Figure.legend
    monkeypatch.setattr(Figure, "legend", lambda *a, **options: legends.append(real(*a, **options)))
    draw_curves({"_x": history(2, "train", "val"), "y$1$": history(3, "train", "test")}, tmp_path / "c.png")
    draw_curves({"_x": history(2, "train")}, tmp_path / "c.png")
    # accuracy is 1 - 0.5 / n after n epochs
    assert [[text.get_text() for text in legend.get_texts()] for legend in legends] == [
        ["train 75.00 %  _x", r"train 83.33 %  y\$1\$", "val 75.00 %  _x", r"test 83.33 %  y\$1\$"],
        ["train 75.00 %"],
    ]


@pytest.mark.parametrize(
    "row",
    [
        *([1], None, {}, {"epoch": "1"}, {"epoch": 10**9}, {"epoch": -1}, {"epoch": 1.5}, {"epoch": 1, "train": 5}),
        *({"epoch": 1, "train": {"loss": 1.0}}, {"epoch": 1, "val": {"loss": "$x$", "accuracy": 1}}),
    ],
)
def test_a_history_that_no_run_wrote_is_named(row: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^run\\n: its history.jsonl is not what a run writes"):
        draw_curves({"run\n": [*history(1, "train"), row]}, tmp_path / "curves.png")
    assert not any(tmp_path.iterdir())
