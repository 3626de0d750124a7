"""A convolution as a picture: which maps are drawn, in which colours, with which numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cnncli.analysis.convolution import convolve, pooled, window_of
from cnncli.pages import convolution
from cnncli.pages.convolution import draw_convolution


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that draws, checks the file, and returns the figure."""
    kept: list[Figure] = []
    write = convolution.write_picture

    def note(figure: Figure, path: Path) -> None:
        kept.append(figure)
        write(figure, path)

    monkeypatch.setattr(convolution, "write_picture", note)

    def draw(*arguments: Any) -> Figure:
        draw_convolution(*arguments, tmp_path / "out.png")
        with Image.open(tmp_path / "out.png") as picture:
            assert picture.format == "PNG"
            picture.load()
        return kept[-1]

    return draw


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def words(figure: Figure, title: str) -> list[str]:
    axes = next(axes for axes in figure.axes if axes.get_title() == title)
    return [text.get_text() for text in axes.texts]


def test_maps_stand_side_by_side_with_their_numbers(drawn: Any) -> None:
    maps, kernel = np.arange(9.0).reshape(1, 3, 3), np.array([[[0.0, -1], [2, 1 / 3]]])
    figure = drawn(convolve(maps, kernel, window_of((2, 2))), None, False)
    assert titles(figure) == ["input\n3×3", "kernel\n2×2", "output\n2×2"]
    assert words(figure, "kernel\n2×2") == ["0", "-1", "2", "0.33333"]
    assert words(figure, "input\n3×3") == list("012345678")
    lefts = [axes.get_position().x0 for axes in figure.axes]
    assert lefts == sorted(lefts)


def test_colours_are_signed_and_a_column_has_one_scale(drawn: Any) -> None:
    """Okabe and Ito's blue below zero, their vermilion above, white at zero."""
    maps = np.array([[[0.0, 4]], [[-2, -4]]])
    figure = drawn(convolve(maps, np.ones((1, 1, 1)), window_of((1, 1))), None, False)
    first, second = (axes.images[0] for axes in figure.axes[:2])
    colours = [
        [tuple(image.cmap(image.norm(value), bytes=True)[:3]) for value in (-4, 0, 4)] for image in (first, second)
    ]
    assert colours == [[(0x00, 0x72, 0xB2), (255, 255, 255), (0xD5, 0x5E, 0x00)]] * 2
    assert second.get_array().tolist() == [[-2, -4]]
    assert [text.get_color() for text in figure.axes[1].texts] == ["black", "white"]  # on half of the blue, on all


def test_several_channels_have_a_row_each_and_their_sum_stands_in_the_middle(drawn: Any) -> None:
    figure = drawn(convolve(np.ones((2, 3, 3)), np.ones((2, 2, 2)), window_of((2, 2))), np.zeros((2, 2, 2)), False)
    names = [title.split("\n")[0] for title in titles(figure)]
    assert names == [f"{name} {row}" for name in ("input", "kernel", "learned", "part") for row in (1, 2)] + ["sum"]
    top, bottom, total = (axes.get_position() for axes in (figure.axes[0], figure.axes[1], figure.axes[-1]))
    assert (total.y0 + total.y1) / 2 == pytest.approx((top.y1 + bottom.y0) / 2, abs=0.05)
    assert (top.width, top.height) == pytest.approx((bottom.width, bottom.height))


def test_pictures_are_grey_where_they_are_not_negative(drawn: Any) -> None:
    maps = np.arange(400.0).reshape(1, 20, 20) % 256
    for kernel, colours in ((1.0, "gray"), (-1.0, "signed")):
        figure = drawn(convolve(maps, np.full((1, 1, 1), kernel), window_of((1, 1))), None, True)
        of = {axes.get_title().split("\n")[0]: axes.images[0].cmap.name for axes in figure.axes if axes.get_title()}
        assert of == {"input": "gray", "kernel": "signed", "output": colours}
        assert not words(figure, "input\n20×20")  # a colour bar tells
        assert len(figure.axes) == 3 + 2


def test_pooling_keeps_channels_of_which_the_first_are_drawn(drawn: Any) -> None:
    figure = drawn(pooled(np.zeros((9, 4, 4)), "max", window_of((2, 2), (2, 2))), None, False)
    assert len(titles(figure)) == 16
    assert titles(figure)[-1] == "output 8\n2×2"
    assert figure.get_suptitle() == "the first 8 of 9 channels"


def test_long_numbers_are_small_enough_for_their_place(drawn: Any) -> None:
    maps = np.random.default_rng(0).normal(size=(1, 12, 12)) * 1000
    figure = drawn(convolve(maps, np.ones((1, 1, 1)), window_of((1, 1))), None, False)
    figure.canvas.draw()
    axes = figure.axes[0]
    place = axes.get_window_extent().width / 12
    assert max(text.get_window_extent().width for text in axes.texts) < place
