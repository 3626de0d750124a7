"""The trials of a sweep, as a picture."""

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from cnncli.config.space import Choices, Parameter
from cnncli.pages.picture import COLOURS, plain, write_picture

COLUMNS = 3
Rows = Sequence[dict[str, Any]]


def draw_sweep(rows: Rows, space: Sequence[Parameter], name: str, path: Path) -> None:
    """Draw the validation accuracy of trials one after the other, and over each parameter; write a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    height = -(-(1 + len(space)) // COLUMNS)
    figure = Figure(figsize=(3.6 * COLUMNS, 0.6 + 3 * height), layout="constrained")
    grid = list(figure.subplots(height, COLUMNS, squeeze=False, sharey=True).flat)
    for axes in grid[1 + len(space) :]:
        axes.set_axis_off()
    grid[0].set_xlim(-0.5, len(rows) - 0.5)
    _draw_points(grid[0], [row["trial"] for row in rows], rows)
    _draw_best(grid[0], rows)
    grid[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    grid[0].set_xlabel("trial")
    for axes, parameter in zip(grid[1:], space, strict=False):
        _draw_parameter(axes, parameter, [row for row in rows if parameter.key in row["params"]])
    for axes in grid[::COLUMNS]:
        axes.set_ylabel("validation accuracy (%)")
    figure.suptitle(plain(name))
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    write_picture(figure, path)


def _draw_parameter(axes: Any, parameter: Parameter, rows: Rows) -> None:
    from matplotlib.ticker import MaxNLocator

    values = [row["params"][parameter.key] for row in rows]
    if isinstance(parameter, Choices):
        axes.set_xticks(range(len(parameter.values)), [plain(value) for value in parameter.values])
        axes.set_xlim(-0.5, len(parameter.values) - 0.5)
        values = [parameter.values.index(value) for value in values]
    elif parameter.log:
        room = (parameter.high / parameter.low) ** 0.05
        axes.set_xscale("log")
        axes.set_xlim(parameter.low / room, parameter.high * room)
    else:
        room = 0.05 * (parameter.high - parameter.low)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=isinstance(parameter.low, int), min_n_ticks=1))
        axes.set_xlim(parameter.low - room, parameter.high + room)
    _draw_points(axes, values, rows)
    axes.set_xlabel(plain(parameter.key))


def _draw_points(axes: Any, values: Sequence[float], rows: Rows) -> None:
    """Draw trials over values: done, pruned, and at the lower edge those that were never scored."""
    for label, marker, style in (
        ("trained to the end", "o", {"color": COLOURS[0]}),
        ("stopped before", "o", {"facecolors": "none", "edgecolors": COLOURS[0]}),
    ):
        is_done = label == "trained to the end"
        shown = [
            (value, row["val_accuracy"] * 100)
            for value, row in zip(values, rows, strict=True)
            if row["val_accuracy"] is not None and (row["state"] == "complete") == is_done
        ]
        axes.scatter(*zip(*shown, strict=True) if shown else ([], []), s=24, marker=marker, label=label, **style)
    never = [value for value, row in zip(values, rows, strict=True) if row["val_accuracy"] is None]
    edge = axes.get_xaxis_transform()
    axes.scatter(never, [0.03] * len(never), s=24, marker="x", color=COLOURS[1], transform=edge, label="never scored")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_best(axes: Any, rows: Rows) -> None:
    scores = (row["val_accuracy"] * 100 if row["state"] == "complete" else -math.inf for row in rows)
    numbers = [row["trial"] for row in rows]
    axes.step(numbers, list(accumulate(scores, max)), where="post", color=COLOURS[2], label="best so far")
