"""Pictures of kernels, read back pixel by pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnncli.analysis.kernels import Convolution, convolutions
from cnncli.models.lenet5_1998 import C3_TABLE, TableConv2d
from cnncli.pages.kernels import BOTTOM, GAP, LEFT, NARROWEST, NUMBERS, RIGHT, TOP, draw_kernels

BLUE, WHITE, VERMILION = np.array([[0x00, 0x72, 0xB2], [0xFF, 0xFF, 0xFF], [0xD5, 0x5E, 0x00]])
GREY = 0.85 * 255
Pixels = np.ndarray[Any, np.dtype[Any]]


def drawn(layer: nn.Module | Convolution, path: Path) -> Pixels:
    """Return a picture's pixels, [height, width, 3]; the network is called as the layer."""
    convolution = layer if isinstance(layer, Convolution) else only(layer)
    draw_kernels(convolution, convolution.name, path / "kernels.png")
    with Image.open(path / "kernels.png") as picture:
        assert picture.format == "PNG"
        return np.array(picture.convert("RGB")).astype(float)


def only(layer: nn.Module) -> Convolution:
    """Return a layer as one that is not the first."""
    return convolutions(nn.Sequential(nn.Conv2d(1, 1, 1), layer))[1]


def values_at(pixels: Pixels, tile: tuple[int, int], kernel_size: int, side: int, top: int = TOP) -> Pixels:
    """Return the colours [kh, kw, 3] of a tile whose values are ``side`` pixels wide; each is one colour all over."""
    y, x = (start + GAP + place * (kernel_size * side + GAP) for start, place in zip((top, LEFT), tile, strict=True))
    squares = pixels[y : y + kernel_size * side, x : x + kernel_size * side].reshape(
        kernel_size, side, kernel_size, side, 3
    )
    assert (squares == squares[:, :1, :, :1]).all()
    return squares[:, 0, :, 0]


def heat(values: Pixels) -> Pixels:
    """Return colours of values from -1 to 1: straight lines from blue to white to vermilion."""
    share = np.abs(values)[..., None]
    return WHITE + share * (np.where(values[..., None] < 0, BLUE, VERMILION) - WHITE)


def test_rows_are_maps_columns_are_channels_and_absent_kernels_are_grey(tmp_path: Path) -> None:
    """C3 of LeNet-5 against torch's own dense kernels; 16 rows leave 60 pixels a tile, and 12 a value."""
    torch.manual_seed(0)
    layer = TableConv2d(C3_TABLE, 6, kernel_size=5)
    pixels = drawn(layer, tmp_path)
    assert pixels.shape == (TOP + NUMBERS + 16 * 64 + GAP + BOTTOM, NARROWEST, 3)
    limit, weights = layer.weight.abs().max().item(), iter(layer.weight.detach().numpy())
    for row, seen in enumerate(C3_TABLE):
        for column in range(6):
            expected = heat(next(weights) / limit) if column in seen else GREY
            colours = values_at(pixels, (row, column), kernel_size=5, side=12, top=TOP + NUMBERS)
            assert np.abs(colours - expected).max() <= 2  # of 255: there are 511 steps of colour


def test_a_first_layer_of_colours_is_drawn_in_them(tmp_path: Path) -> None:
    """96 kernels are 8 rows of 12, as in AlexNet's figure; 12 tiles leave 80 pixels each, 7 a value of 11."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 96, 11)
    pixels = drawn(convolutions(nn.Sequential(layer))[0], tmp_path)
    assert pixels.shape == (TOP + 8 * 81 + GAP + BOTTOM, LEFT + 12 * 81 + GAP + RIGHT, 3)
    weights = layer.weight.detach().numpy()
    expected = (0.5 + weights / np.abs(weights).max() / 2).transpose(0, 2, 3, 1) * 255
    for number in range(96):
        colours = values_at(pixels, divmod(number, 12), kernel_size=11, side=7)
        assert np.abs(colours - expected[number]).max() <= 1


def test_three_channels_elsewhere_are_no_colours(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 2, 1)
    pixels = drawn(layer, tmp_path)
    weights = layer.weight.detach().numpy()[..., 0, 0]
    for row, column in np.ndindex(2, 3):
        colour = values_at(pixels, (row, column), kernel_size=1, side=80, top=TOP + NUMBERS)
        assert np.abs(colour - heat(weights[row, column] / np.abs(weights).max())).max() <= 2


def test_maps_of_one_channel_each_are_tiles(tmp_path: Path) -> None:
    """Seven tiles of a depthwise layer: four and three, and nothing in the last place."""
    torch.manual_seed(0)
    layer = nn.Conv2d(7, 7, 2, groups=7)
    pixels = drawn(layer, tmp_path)
    weights = layer.weight.detach().numpy()[:, 0]
    for number in range(7):
        colours = values_at(pixels, divmod(number, 4), kernel_size=2, side=40)
        assert np.abs(colours - heat(weights[number] / np.abs(weights).max())).max() <= 2
    assert np.abs(values_at(pixels, (1, 3), kernel_size=2, side=40) - GREY).max() <= 1


def test_of_too_many_the_strongest_are_drawn(tmp_path: Path) -> None:
    """Two groups of 20 maps with 40 channels each: 32 maps and 32 places in a group, by norms that numpy works out."""
    torch.manual_seed(0)
    layer = nn.Conv2d(80, 40, 3, groups=2)
    selection = draw_kernels(only(layer), "net", tmp_path / "kernels.png")
    squares = layer.weight.detach().numpy().astype(float) ** 2
    maps = sorted(np.argsort(squares.sum((1, 2, 3)))[-32:])
    channels = sorted(np.argsort(squares[maps].sum((0, 2, 3)))[-32:])
    assert (selection.maps, selection.channels) == (maps, channels)
    assert selection.left_out == "left out as the weakest: 8 of 40 maps and 8 of 40 channels"
    with Image.open(tmp_path / "kernels.png") as picture:
        pixels = np.array(picture.convert("RGB")).astype(float)
    weights = layer.weight.detach().numpy() / layer.weight.abs().max().item()
    for row, column in ((0, 0), (31, 31), (3, 17)):  # 960 / 32 = 30 pixels a tile
        colours = values_at(pixels, (row, column), kernel_size=3, side=10, top=TOP + NUMBERS)
        assert np.abs(colours - heat(weights[maps[row], channels[column]])).max() <= 2


def test_all_of_a_few_are_drawn(tmp_path: Path) -> None:
    selection = draw_kernels(only(nn.Conv2d(5, 32, 3)), "net", tmp_path / "kernels.png")
    assert (selection.maps, selection.channels, selection.left_out) == (list(range(32)), list(range(5)), "")


@pytest.mark.parametrize("name", ["a$x^$b", r"\frac{$", "数字", "a\nb", "n" * 300])
def test_zeros_and_odd_names_are_drawn(name: str, tmp_path: Path) -> None:
    """White all over, without a warning."""
    layer = Convolution(name, 2, [[0, 1]], torch.zeros(2, 3, 3), is_first=True)
    pixels = drawn(layer, tmp_path)
    assert (values_at(pixels, (0, 1), kernel_size=3, side=26, top=TOP + NUMBERS) == 255).all()
