"""A convolution as heat maps side by side: input, kernel, output; a row a channel."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnncli.pages.picture import COLOURS, write_picture
from cnncli.text import counted, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cnncli.analysis.convolution import Result

MOST_CHANNELS = 8
MOST_NUMBERS = 12  # rows and columns of a map whose numbers are written into it
NEGATIVE, POSITIVE = COLOURS[0], COLOURS[1]
PLACE_INCHES, LEAST_INCHES, MOST_INCHES = 0.55, 1.5, 4.2  # of a number, and of a map
POINTS_A_LETTER = 100  # of a font, per letter that an inch has to hold

Map = NDArray[np.float64]


class Column(NamedTuple):
    """Maps [C, H, W] one above the other, in grey or in colours on both sides of zero."""

    name: str
    maps: Map
    is_grey: bool = False

    @property
    def place_inches(self) -> float:
        """The side of one number, but for maps of a few rows or columns, which are larger."""
        longest = float(max(self.maps.shape[1:]))
        return min(max(PLACE_INCHES * longest, LEAST_INCHES), MOST_INCHES) / longest

    @property
    def inches(self) -> tuple[float, float]:
        """The width and the height of one map."""
        height, width = self.maps.shape[1:]
        return max(width * self.place_inches, LEAST_INCHES), max(height * self.place_inches, LEAST_INCHES / 2)


def draw_convolution(result: "Result", learned: Map | None, is_picture: bool, path: Path) -> None:
    """Draw maps, kernel, what was ``learned`` of it, each channel's part and their sum, and write a PNG."""
    from matplotlib.figure import Figure

    columns = _columns(result, learned, is_picture)
    num_channels = len(result.maps)
    num_rows = min(num_channels, MOST_CHANNELS)
    widths, heights = zip(*(column.inches for column in columns), strict=True)
    size = sum(widths) + 0.9 * len(columns), num_rows * (max(heights) + 0.6) + 0.4
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(2 * num_rows, len(columns), width_ratios=widths)
    for number, column in enumerate(columns):
        is_sum = len(column.maps) < num_channels  # which stands beside the middle of all
        for row in range(1 if is_sum else num_rows):
            top = num_rows - 1 if is_sum else 2 * row
            _draw(figure, figure.add_subplot(grid[top : top + 2, number]), column, row)
    if num_channels > num_rows:
        figure.suptitle(f"the first {num_rows} of {counted(num_channels, 'channel')}")
    write_picture(figure, path)


def _columns(result: "Result", learned: Map | None, is_picture: bool) -> list[Column]:
    columns = [Column("input", result.maps, is_picture)]
    if result.kernel is not None:
        columns.append(Column("kernel", result.kernel))
    if learned is not None:
        columns.append(Column("learned", learned))
    if (parts := result.parts) is not None and len(parts) > 1:
        columns.append(Column("part", parts))
    name = "sum" if columns[-1].name == "part" else "output"
    return [*columns, Column(name, result.output, is_picture and result.output.min() >= 0)]


def _draw(figure: "Figure", axes: "Axes", column: Column, row: int) -> None:
    """Draw one map; a column has one scale."""
    from matplotlib.colors import LinearSegmentedColormap

    values = column.maps[row]
    height, width = values.shape
    largest = float(np.abs(column.maps).max()) or 1.0
    # Of an odd number of colours zero has one of its own.
    signed = LinearSegmentedColormap.from_list("signed", [NEGATIVE, "white", POSITIVE], N=257)
    colours, lowest = ("gray", 0.0) if column.is_grey else (signed, -largest)
    image = axes.imshow(values, cmap=colours, vmin=lowest, vmax=largest)
    channel = f" {row + 1}" if len(column.maps) > 1 else ""
    axes.set_title(f"{column.name}{channel}\n{height}×{width}", fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    if max(height, width) > MOST_NUMBERS:
        figure.colorbar(image, ax=axes, location="bottom", shrink=0.8)
    else:
        _write_numbers(axes, column, values / largest, row)


def _write_numbers(axes: "Axes", column: Column, shares: Map, row: int) -> None:
    """Write the numbers of a map into it, white where their ``shares`` of the largest make the ground dark."""
    words = [[short(value) for value in line] for line in column.maps[row]]
    longest = max(len(word) for line in words for word in line)
    points = min(9.0, POINTS_A_LETTER * column.place_inches / longest)
    for (y, x), share in np.ndenumerate(shares):
        is_dark = share < 0.5 if column.is_grey else share < -0.6
        colour = "white" if is_dark else "black"
        axes.text(x, y, words[y][x], ha="center", va="center", fontsize=points, color=colour)
