"""Architectures: one file each, named after it. Here is what they share: the names and arithmetic of their sizes."""

from typing import Annotated, Any

from pydantic import Field
from torch import nn

NumClasses = Annotated[int, Field(ge=1, le=100_000, description="classes told apart; the data set gives it")]
Channels = Annotated[int, Field(ge=1, le=64, description="channels of an image; the data set gives it")]
Side = Annotated[int, Field(ge=1, le=4096, description="pixels a side of a square image; the data set gives it")]


def window(layer: nn.Module, axis: int = 0) -> tuple[int, int, int, int] | None:
    """Return kernel, stride, padding and dilation of a layer that slides a window, along axis 0, the height, or 1.

    ``None`` for any other layer, and where more is padded on one side than on the other.
    """

    def along(value: Any) -> int:
        sides = value if isinstance(value, tuple | list) else [value]
        return int(sides[axis - 2] if len(sides) > 1 else sides[0])

    if not hasattr(layer, "kernel_size") or getattr(layer, "transposed", False):
        return None
    kernel, stride, dilation = along(layer.kernel_size), along(layer.stride), along(getattr(layer, "dilation", 1))
    padding = getattr(layer, "padding", 0)
    if isinstance(padding, str):
        padding, rest = divmod(dilation * (kernel - 1) if padding == "same" else 0, 2)
        if rest:
            return None
    return kernel, stride, along(padding), dilation


def output_side(layer: nn.Module, side: int) -> int:
    """Return the side of the map that ``layer`` makes of one of ``side`` pixels; below 1, the map vanishes."""
    if isinstance(layer, nn.ZeroPad2d | nn.ConstantPad2d):
        return side + layer.padding[0] + layer.padding[1]
    if (geometry := window(layer)) is None:
        return side
    kernel, stride, padding, dilation = geometry
    return (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def flat_width(features: nn.Sequential, in_channels: int, image_size: int) -> int:
    """Return how many values ``features`` leaves of an image: the width of the first dense layer.

    Raises ``ValueError`` naming the layer at which the map vanishes.
    """
    channels, side = in_channels, image_size
    for name, layer in features.named_children():
        before, side = side, output_side(layer, side)
        if side < 1:
            raise ValueError(
                f"images of {image_size}×{image_size} are too small: the map vanishes at features.{name}"
                f" ({type(layer).__name__}), whose kernel needs more than the {before}×{before} that reach it"
            )
        channels = getattr(layer, "out_channels", channels)
    return channels * side * side
