"""The kernels of a convolution as a picture: in colours where they see colours, else as heat maps."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnncli.pages.picture import COLOURS, plain, write_picture
from cnncli.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from cnncli.analysis.kernels import Convolution, Selection

MOST_TILES = 256  # of a picture with a tile a map
MOST_SIDE = 32  # maps, and channels, of one with a row a map and a column a channel
GAP, LARGEST, ROOM = 4, 80, 960  # pixels between tiles, of a tile's longer side, of the longer side of all tiles
LEFT, RIGHT, TOP, BOTTOM, NARROWEST = 70, 110, 82, 20, 800  # pixels around the tiles, and of the picture's width
NUMBERS = 34  # pixels above a matrix for the numbers of its columns
DPI = 100
NOTHING = 0.85  # the grey of gaps, and of kernels that are not there

Array = np.ndarray[Any, np.dtype[Any]]


def draw_kernels(convolution: "Convolution", model: str, path: Path) -> "Selection":
    """Write a PNG of the kernels; return what of them it shows, the strongest where there are too many.

    A first layer of three channels is drawn in their colours, a tile a map, as in figure 3 of Krizhevsky et al. 2012.
    So are maps that see one channel each, as heat maps; else a row is an output map, and a column an input channel.
    """
    from cnncli.analysis.kernels import strongest

    in_colours = convolution.is_first and all(seen == [0, 1, 2] for seen in convolution.sources)
    is_matrix = not in_colours and any(len(seen) > 1 for seen in convolution.sources)
    most_maps, most_channels = (MOST_SIDE, MOST_SIDE) if is_matrix else (MOST_TILES, 3)
    selection = strongest(convolution, most_maps, most_channels)
    kernels = _matrix(convolution, selection) if is_matrix else _tiles(convolution, selection)
    limit = float(convolution.kernels.abs().max()) or 1.0
    colours = _in_colours(kernels, limit) if in_colours else _heat()(0.5 + kernels[..., 0] / (2 * limit))[..., :3]
    figure, axes = _draw(_mosaic(colours), TOP + NUMBERS if is_matrix else TOP)
    if is_matrix:
        _number_matrix(axes, selection)
    else:
        _number_rows(axes, selection.maps[:: colours.shape[1]])
    if not in_colours:
        _draw_scale(figure, axes, limit)
    lines = [_sizes(convolution), _note(convolution, selection, in_colours, limit)]
    _write_above(figure, f"{plain(model)}, {plain(convolution.name)}", lines)
    write_picture(figure, path)
    return selection


def _matrix(convolution: "Convolution", selection: "Selection") -> Array:
    """Return kernels [maps, channels, kh, kw, 1], NaN where a map does not see a channel."""
    kernels = np.full((len(selection.maps), len(selection.channels), *convolution.shape[2:], 1), np.nan)
    places = {channel: place for place, channel in enumerate(selection.channels)}
    of_maps, columns = convolution.of_maps(), convolution.columns()
    for row, number in zip(kernels, selection.maps, strict=True):
        for column, kernel in zip(columns[number], of_maps[number].numpy(), strict=True):
            if column in places:
                row[places[column], ..., 0] = kernel
    return kernels


def _tiles(convolution: "Convolution", selection: "Selection") -> Array:
    """Return a tile a map, [rows, columns, kh, kw, channels that it sees], NaN behind the last."""
    of_maps = convolution.of_maps()
    tiles = np.stack([np.moveaxis(of_maps[number].numpy(), 0, -1) for number in selection.maps])
    columns = _num_columns(len(tiles))
    rows = math.ceil(len(tiles) / columns)
    filled = np.full((rows * columns, *tiles.shape[1:]), np.nan)
    filled[: len(tiles)] = tiles
    return filled.reshape(rows, columns, *tiles.shape[1:])


def _num_columns(num_tiles: int) -> int:
    """Return the width of a sheet about square or wider, without a gap in its last row if there is such: 96 is 8×12."""
    root = math.sqrt(num_tiles)
    widths = range(math.ceil(root), num_tiles + 1)
    return next(width for width in widths if num_tiles % width == 0 or width >= 1.5 * root)


def _in_colours(kernels: Array, limit: float) -> Array:
    return np.where(np.isnan(kernels), NOTHING, 0.5 + kernels / (2 * limit))


def _heat() -> "Colormap":
    """Return colours of 0 to 1: blue, white in the middle, vermilion, told apart by all kinds of sight."""
    from matplotlib.colors import LinearSegmentedColormap

    heat = LinearSegmentedColormap.from_list("kernels", [COLOURS[0], "white", COLOURS[1]], N=511)
    return heat.with_extremes(bad=(NOTHING,) * 3)


def _mosaic(colours: Array) -> Array:
    """Return the picture [height, width, 3] of tiles [rows, columns, kh, kw, 3], each value a square of pixels."""
    rows, columns, *kernel_size, _ = colours.shape
    scale = max(1, min(LARGEST, ROOM // max(rows, columns)) // max(kernel_size))
    tiles = colours.repeat(scale, axis=2).repeat(scale, axis=3)
    apart = np.pad(tiles, ((0, 0), (0, 0), (GAP, 0), (GAP, 0), (0, 0)), constant_values=NOTHING)
    image = apart.swapaxes(1, 2).reshape(rows * apart.shape[2], columns * apart.shape[3], 3)
    return np.pad(image, ((0, GAP), (0, GAP), (0, 0)), constant_values=NOTHING)


def _draw(mosaic: Array, top: int) -> "tuple[Figure, Axes]":
    """Put the mosaic into a figure, pixel by pixel."""
    from matplotlib.figure import Figure

    height, width, _ = mosaic.shape
    full_height, full_width = top + height + BOTTOM, max(LEFT + width + RIGHT, NARROWEST)
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI)
    place = (LEFT / full_width, BOTTOM / full_height, width / full_width, height / full_height)
    axes = figure.add_axes(place, frameon=False, xticks=[], yticks=[])
    axes.tick_params(length=0, labelsize=7, labeltop=True, labelbottom=False)
    axes.imshow(mosaic, interpolation="nearest", extent=(0, 1, 1, 0), aspect="auto")
    return figure, axes


def _number_matrix(axes: "Axes", selection: "Selection") -> None:
    axes.set_yticks(_middles(len(selection.maps)), map(str, selection.maps))
    axes.set_ylabel("output map", fontsize=8)
    axes.set_xticks(_middles(len(selection.channels)), map(str, selection.channels))
    axes.set_xlabel("input channel", fontsize=8)
    axes.xaxis.set_label_position("top")


def _number_rows(axes: "Axes", firsts: list[int]) -> None:
    axes.set_yticks(_middles(len(firsts)), map(str, firsts))
    axes.set_ylabel("first map", fontsize=8)


def _middles(number: int) -> Array:
    return (np.arange(number) + 0.5) / number


def _draw_scale(figure: "Figure", axes: "Axes", limit: float) -> None:
    """Draw which colour is which value, to the right of the mosaic."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    width, height = figure.get_size_inches() * DPI
    place = axes.get_position()
    size = min(place.height, 240 / height)
    beside = figure.add_axes((place.x1 + 16 / width, place.y1 - size, 14 / width, size))
    figure.colorbar(ScalarMappable(Normalize(-limit, limit), _heat()), cax=beside).ax.tick_params(labelsize=7)


def _sizes(convolution: "Convolution") -> str:
    num_maps, num_channels, height, width = convolution.shape
    return f"{counted(num_maps, 'map')} of {counted(num_channels, 'channel')}, kernels {height}×{width}"


def _note(convolution: "Convolution", selection: "Selection", in_colours: bool, limit: float) -> str:
    """Say what is not plain to see."""
    notes = [f"red, green and blue from −{limit:.2g} to {limit:.2g}; mid-grey is 0"] if in_colours else []
    num_seen = set(map(len, convolution.sources))
    if len(num_seen) > 1:
        notes.append("grey: not connected")
    elif selection.num_channels < convolution.in_channels:
        numbered = ", numbered within its group" if selection.num_channels > 1 else ""
        notes.append(f"a map sees {selection.num_channels} of {convolution.in_channels:,} channels{numbered}")
    return "; ".join(filter(None, [*notes, selection.left_out]))


def _write_above(figure: "Figure", title: str, lines: list[str]) -> None:
    width, height = figure.get_size_inches() * DPI
    figure.text(LEFT / width, 1 - 30 / height, title, fontsize=12)
    for number, line in enumerate(lines):
        figure.text(LEFT / width, 1 - (50 + 16 * number) / height, line, fontsize=9, color="0.35")
