"""A convolution in words and numbers: sizes with their formula, maps that are small, how the first number is made."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cnncli.text import counted, short

if TYPE_CHECKING:
    from cnncli.analysis.convolution import Result
    from cnncli.analysis.kernel_learning import Learned

WIDTH, HEIGHT = 100, 12  # columns and rows of a map that is written down
MOST_LOSSES = 20

Map = NDArray[np.float64]


def describe(result: "Result", learned: "Learned | None") -> str:
    """Return what ``cnn conv`` prints."""
    lines = [*_sizes(result), *_numbers(result)]
    if learned is not None and result.kernel is not None:
        lines += _learning(learned, result.kernel)
    return "\n".join(lines)


def to_json(result: "Result", learned: "Learned | None") -> dict[str, Any]:
    """Return what ``cnn conv --json`` prints; pairs are of height and width, paddings before and after."""
    sides, lengths = result.window, result.maps.shape[1:]
    return {
        "input_shape": list(result.maps.shape),
        "kernel": None if result.kernel is None else result.kernel.tolist(),
        "pool": result.pool,
        "size": [side.size for side in sides],
        "stride": [side.stride for side in sides],
        "padding": [[side.before, side.after] for side in sides],
        "dilation": [side.dilation for side in sides],
        "formula": [side.formula(length) for side, length in zip(sides, lengths, strict=True)],
        "weights": None if result.kernel is None else result.kernel.size,
        "dense_weights": None if result.kernel is None else result.dense_weights,
        "output_shape": list(result.output.shape),
        "output": result.output.tolist(),
        "learned": None if learned is None else {**vars(learned), "kernel": learned.kernel.tolist()},
    }


def _sizes(result: "Result") -> list[str]:
    """Say what the sizes are, and how that of the output follows."""
    has_gaps = any(side.dilation > 1 for side in result.window)
    covered, gaps = ("d·(k − 1) − 1", ", dilation d") if has_gaps else ("k", "")
    lines = [f"input    {_shape(result.maps)}", f"output   {_shape(result.output)}"]
    if (kernel := result.kernel) is not None:
        times = result.dense_weights / kernel.size
        lines.insert(1, f"kernel   {_shape(kernel)}, {counted(kernel.size, 'weight')}")
        lines.append(
            f"dense    a layer between the same two would hold {result.dense_weights:,}, {times:,.0f} times as many"
        )
    lines.append(f"size     ⌊(n − {covered} + 2·p) / s⌋ + 1 for a side n, window k, padding p, stride s{gaps}")
    for name, side, length in zip(("height", "width"), result.window, result.maps.shape[1:], strict=True):
        unseen = f", and the last {side.unseen(length)} left over" if side.unseen(length) else ""
        lines.append(f"{name:9}{side.formula(length)}{unseen}")
    return lines


def _numbers(result: "Result") -> list[str]:
    """Write down what is small, and how the first number of the output is made."""
    lines = [] if result.kernel is None else _written("kernel", result.kernel)
    is_sum = result.parts is not None and len(result.parts) > 1
    if is_sum and result.parts is not None:
        lines += _written("part", result.parts)
    output = _written("sum" if is_sum else "output", result.output)
    if output:
        return [*lines, *output, *_first(result)]
    low, high, mean = map(short, (result.output.min(), result.output.max(), result.output.mean()))
    return [*lines, "", f"output from {low} to {high}, mean {mean}"]


def _first(result: "Result") -> list[str]:
    """Write how the top left number of the output is made, where a line holds it."""
    from cnncli.analysis.convolution import windows

    seen = windows(result.maps, result.window, -np.inf if result.pool == "max" else 0.0)[:, 0, 0]
    if result.kernel is not None:
        pairs = zip(seen.ravel(), result.kernel.ravel(), strict=True)
        made = " + ".join(f"{_in_brackets(value)}·{_in_brackets(weight)}" for value, weight in pairs)
    elif result.pool == "max":
        made = f"max({', '.join(map(short, seen[0].ravel()))})"
    else:
        made = f"({' + '.join(map(_in_brackets, seen[0].ravel()))}) / {seen[0].size}"
    line = f"top left: {made} = {short(result.output[0, 0, 0])}"
    return ["", line] if len(line) <= WIDTH else []


def _learning(learned: "Learned", kernel: Map) -> list[str]:
    """Tell how the loss fell, and how near the kernel came."""
    num_steps = len(learned.losses) - 1
    stride = -(-num_steps // MOST_LOSSES)
    told = sorted({*range(0, num_steps, stride), num_steps})
    digits = len(str(num_steps))
    lines = ["", f"The kernel is forgotten and learned back, lr {learned.lr:.2g}; loss is the sum of squared errors"]
    lines += [f"step {step:{digits}}  loss {learned.losses[step]:.4g}" for step in told]
    lines += _written("learned", learned.kernel)
    lines += ["", f"at most {np.abs(learned.kernel - kernel).max():.2g} from the kernel"]
    if learned.num_seen < kernel.size:
        lines.append(
            f"other kernels make the same output of this input, which shows {learned.num_seen} of"
            f" {kernel.size} directions in which they may differ"
        )
    return lines


def _written(name: str, maps: Map) -> list[str]:
    """Return the numbers of maps [C, H, W], aligned; nothing where they are too large."""
    cells = (
        [[[short(value) for value in row] for row in rows] for rows in maps] if maps[0].size <= WIDTH * HEIGHT else []
    )
    width = max((len(cell) for rows in cells for row in rows for cell in row), default=0) + 1
    if not cells or maps.shape[1] > HEIGHT or maps.shape[2] * width > WIDTH:
        return []
    lines = []
    for channel, rows in enumerate(cells, 1):
        lines += ["", f"{name} {channel}" if len(cells) > 1 else name]
        lines += ["".join(f"{cell:>{width}}" for cell in row) for row in rows]
    return lines


def _in_brackets(number: float) -> str:
    return f"({short(number)})" if number < 0 else short(number)


def _shape(maps: Map) -> str:
    """Return channels, height and width; a single channel is not worth a word."""
    return "×".join(map(str, maps.shape if len(maps) > 1 else maps.shape[1:]))
