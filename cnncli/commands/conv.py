"""``cnn conv``."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cnncli.analysis.classic_kernels import CLASSIC_KERNELS
from cnncli.completion import offer_kernels
from cnncli.errors import ConfigError, DataError
from cnncli.options import Json
from cnncli.text import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnncli.analysis.convolution import Padding, Pair

    Map = NDArray[np.float64]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(conv)


def conv(
    source: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="A picture, or rows of numbers in a text file, or - for either on stdin."),
    ],
    kernel: Annotated[
        str | None,
        typer.Option(help=f"Rows: '0 1; 2 3'. Or {', '.join(CLASSIC_KERNELS)}.", autocompletion=offer_kernels),
    ] = None,
    pool: Annotated[
        Literal["max", "avg"] | None, typer.Option(help="Take the largest or the mean of each window instead.")
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="N|HxW", help="With --pool: the window; 2.")] = None,
    stride: Annotated[
        str | None, typer.Option(metavar="N|HxW", help="Steps of the window; 1, with --pool its size.")
    ] = None,
    padding: Annotated[
        str, typer.Option(metavar="N|HxW|same|valid", help="Zeros at each end of a side; same keeps the size.")
    ] = "valid",
    dilation: Annotated[
        str | None, typer.Option(metavar="N|HxW", help="With --kernel: from one value under it to the next; 1.")
    ] = None,
    rgb: Annotated[bool, typer.Option("--rgb", help="Take a picture in colour, as three channels.")] = False,
    learn: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS", min=1, max=100_000, help="Forget the kernel, and learn it back by gradient descent."
        ),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(min=1e-300, help="With --learn: the learning rate; else one that fits.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Draw input, kernel and output; a PNG.")
    ] = None,
    json: Json = False,
) -> None:
    """Slide a kernel over a picture or a matrix, or pool it, and show how sizes and numbers come about.

    As in networks, the kernel is not flipped, and what the channels give is summed.

    In rows of numbers an empty one ends a channel.

    A picture is grey, from 0 to 255; with --rgb, or a kernel of three channels, in colour.

    Example: cnn conv digit.png --kernel sobel-x -o edges.png
    """
    from cnncli.analysis.convolution import convolve, pooled, window_of
    from cnncli.analysis.kernel_learning import learn_kernel
    from cnncli.analysis.matrices import kernel_of
    from cnncli.display import print_json, print_text
    from cnncli.pages.convolution import draw_convolution
    from cnncli.pages.convolution_text import describe, to_json

    _check_options(kernel, pool, size, dilation, learn, lr)
    _check_output(output, source)
    if kernel is not None:
        weights = kernel_of(kernel)
        maps, is_picture = _maps(source, rgb, len(weights))
        extent, steps = (weights.shape[1], weights.shape[2]), _pair("stride", stride or "1")
        window = window_of(extent, steps, _padding(padding), _pair("dilation", dilation or "1"))
        result = convolve(maps, weights, window)
    else:
        assert pool is not None  # one of the two was asked for
        maps, is_picture = _maps(source, rgb)
        extent = _pair("size", size or "2")
        window = window_of(extent, _pair("stride", stride) if stride else extent, _padding(padding))
        result = pooled(maps, pool, window)
    learned = learn_kernel(maps, result.output[0], window, learn, lr) if learn else None
    if output is not None:
        draw_convolution(result, learned.kernel if learned else None, is_picture, output)
    if json:
        print_json(to_json(result, learned) | {"picture": output and str(output)})
    else:
        print_text(describe(result, learned))


def _check_options(
    kernel: str | None,
    pool: str | None,
    size: str | None,
    dilation: str | None,
    learn: int | None,
    lr: float | None,
) -> None:
    if (kernel is None) == (pool is None):
        raise ConfigError("say what slides: --kernel sobel-x, --kernel '0 1; 2 3', or --pool max, one of them")
    if pool is None and size is not None:
        raise ConfigError("--size is that of the window of --pool; a kernel has its own")
    for option, value in (("--dilation", dilation), ("--learn", learn)):
        if pool is not None and value is not None:
            raise ConfigError(f"{option} is for a --kernel, which --pool has not")
    if learn is None and lr is not None:
        raise ConfigError("--lr is for learning: say --learn 10 as well, for ten steps")


def _check_output(output: Path | None, source: str) -> None:
    from cnncli import files
    from cnncli.pages.picture import check_picture

    if output is not None:
        check_picture(output)
        files.check_target(output, Path(source))


def _maps(source: str, rgb: bool, num_channels: int = 1) -> "tuple[Map, bool]":
    """Return the maps [C, H, W] of the input, and whether it is a picture."""
    from cnncli.analysis.matrices import maps_of

    maps, is_picture = maps_of(_content(source), source, 3 if rgb or num_channels == 3 else 1)
    if rgb and not is_picture:
        raise ConfigError(f"--rgb: {one_line(source)} is rows of numbers, with the channels that they have")
    return maps, is_picture


def _content(source: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read() if sys.stdin else b""
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise DataError(f"{one_line(source)}: {error.strerror or error}") from None


def _pair(option: str, text: str, least: int = 1) -> "Pair":
    match = re.fullmatch(r"([0-9]{1,3})(?:x([0-9]{1,3}))?", text)
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (-1, -1)
    if min(height, width) < least:
        raise ConfigError(
            f"--{option} {one_line(text)}: expected a number from {least} to 999, or one for height and width each,"
            " such as 1x2"
        )
    return height, width


def _padding(text: str) -> "Padding":
    if text == "same":
        return "same"
    return (0, 0) if text == "valid" else _pair("padding", text, least=0)
