"""Convolution and pooling of maps by one kernel or window, and the sizes that come of it.

As in networks the kernel is not flipped: it is the cross-correlation of :mod:`cnncli.analysis.cross_correlation`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cnncli.errors import ConfigError
from cnncli.text import counted

Pair = tuple[int, int]  # of height and width
Padding = Pair | Literal["same"]
Pool = Literal["max", "avg"]


@dataclass(frozen=True)
class Slide:
    """How a window slides along one side of a map, to whose ends ``before`` and ``after`` are added."""

    size: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """How much of the side the window covers, its gaps included."""
        return self.dilation * (self.size - 1) + 1

    def room(self, length: int) -> int:
        """Return how far the window can move along a side of ``length``; negative where it does not fit."""
        return length + self.before + self.after - self.reach

    def places(self, length: int) -> int:
        """Return the length of the output."""
        return self.room(length) // self.stride + 1

    def unseen(self, length: int) -> int:
        """Return how much of the end no window reaches, since the strides do not divide it evenly."""
        return self.room(length) % self.stride

    def formula(self, length: int) -> str:
        """Write how the length of the output follows, in numbers."""
        covered = f"{self.dilation}·({self.size} − 1) − 1" if self.dilation > 1 else str(self.size)
        added = f"2·{self.before}" if self.before == self.after else f"{self.before} + {self.after}"
        return f"⌊({length} − {covered} + {added}) / {self.stride}⌋ + 1 = {self.places(length)}"


Window = tuple[Slide, Slide]  # down and across


def window_of(size: Pair, stride: Pair = (1, 1), padding: Padding = (0, 0), dilation: Pair = (1, 1)) -> Window:
    """Return how a window slides; ``same`` adds what keeps the size, of an odd number the larger half at the end."""
    if padding == "same" and stride != (1, 1):
        enough = "x".join(str(gap * (length - 1) // 2) for length, gap in zip(size, dilation, strict=True))
        raise ConfigError(
            f"--padding same keeps the size, which a stride of {stride[0]}x{stride[1]} does not (of --pool, it is the"
            f" window's size unless --stride says otherwise): say --padding {enough}"
        )

    def slide(side: int) -> Slide:
        if padding == "same":
            added = dilation[side] * (size[side] - 1)
            return Slide(size[side], 1, added // 2, added - added // 2, dilation[side])
        return Slide(size[side], stride[side], padding[side], padding[side], dilation[side])

    return slide(0), slide(1)


def windows(maps: NDArray[np.float64], window: Window, filling: float = 0.0) -> NDArray[np.float64]:
    """Return what each window sees of maps [C, H, W], as a view [C, H', W', window's height, its width]."""
    down, across = window
    padded = np.pad(maps, ((0, 0), (down.before, down.after), (across.before, across.after)), constant_values=filling)
    seen = sliding_window_view(padded, (down.reach, across.reach), axis=(1, 2))
    return seen[:, :: down.stride, :: across.stride, :: down.dilation, :: across.dilation]


@dataclass(frozen=True)
class Result:
    """What one kernel, or a window that pools, makes of maps [C, H, W]: ``output`` [C', H', W'].

    C' is 1 for a kernel [C, h, w]: the sum of ``parts`` [C, H', W'], which each channel adds.
    """

    maps: NDArray[np.float64]
    window: Window
    output: NDArray[np.float64]
    kernel: NDArray[np.float64] | None = None
    parts: NDArray[np.float64] | None = None
    pool: Pool | None = None

    @property
    def dense_weights(self) -> int:
        """How many weights a dense layer between the same maps would hold."""
        return self.maps.size * self.output.size


def convolve(maps: NDArray[np.float64], kernel: NDArray[np.float64], window: Window) -> Result:
    """Slide a kernel [C, h, w] over maps; of one channel it is the same for all of them."""
    if len(kernel) not in (1, len(maps)):
        raise ConfigError(
            f"--kernel has {counted(len(kernel), 'channel')}, the input {len(maps)}: give it as many, or one for all"
        )
    kernel = np.broadcast_to(kernel, (len(maps), *kernel.shape[1:]))
    _check_fit(window, *maps.shape[1:])
    parts = np.einsum("chwij,cij->chw", windows(maps, window), kernel)
    return Result(maps, window, parts.sum(0, keepdims=True), kernel=kernel, parts=parts)


def pooled(maps: NDArray[np.float64], kind: Pool, window: Window) -> Result:
    """Take the largest, or the mean, of what each window sees; to a mean padding adds zeros."""
    _check_fit(window, *maps.shape[1:])
    if any(slide.before > slide.size // 2 for slide in window):
        raise ConfigError("--padding: at most half of --size, or a window would see nothing but padding")
    seen = windows(maps, window, -np.inf if kind == "max" else 0.0)
    output = seen.max((3, 4)) if kind == "max" else seen.mean((3, 4))
    return Result(maps, window, output, pool=kind)


def _check_fit(window: Window, height: int, width: int) -> None:
    """Raise ``ConfigError`` where a window is larger than the padded map."""
    for side, slide, length in zip(("height", "width"), window, (height, width), strict=True):
        if (lacking := -slide.room(length)) > 0:
            padded = f" and {slide.before + slide.after} of padding" * (slide.before + slide.after > 0)
            raise ConfigError(
                f"the window does not fit: it covers {slide.reach} of the {side}, where the input has {length}{padded};"
                f" it takes a smaller one, or --padding {slide.before + -(-lacking // 2)}"
            )
