"""Cross-correlation, which networks call convolution, as it is defined: loops to be checked by hand, slow and plain."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Sizes = int | Sequence[int]  # the same in all dimensions, or one each


def cross_correlate(
    values: NDArray[np.float64],
    kernel: NDArray[np.float64],
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
) -> NDArray[np.float64]:
    """Slide ``kernel`` over ``values``, both of one, two, three or more dimensions, and sum the products at each place.

    ``padding`` stands for zeros at both ends of each dimension. The kernel is not flipped.
    """
    lengths, sizes = values.shape, kernel.shape
    strides, paddings, dilations = (_in_each(sizes, given) for given in (stride, padding, dilation))
    places = [
        (length + 2 * pad - spread * (size - 1) - 1) // step + 1
        for length, size, step, pad, spread in zip(lengths, sizes, strides, paddings, dilations, strict=True)
    ]
    output = np.zeros(places)
    for place in np.ndindex(*places):
        for tap in np.ndindex(*sizes):
            at = tuple(
                p * step - pad + t * spread
                for p, step, pad, t, spread in zip(place, strides, paddings, tap, dilations, strict=True)
            )
            if all(0 <= index < length for index, length in zip(at, lengths, strict=True)):  # zeros elsewhere
                output[place] += values[at] * kernel[tap]
    return output


def _in_each(dimensions: Sequence[int], given: Sizes) -> Sequence[int]:
    return [given] * len(dimensions) if isinstance(given, int) else given
