"""The kernels that have a name, as one would type them; none is flipped when it slides."""

from typing import NamedTuple


class ClassicKernel(NamedTuple):
    """Rows separated by semicolons, and what they make of a picture."""

    rows: str
    about: str


CLASSIC_KERNELS = {
    "sobel-x": ClassicKernel("-1 0 1; -2 0 2; -1 0 1", "change from left to right: upright edges"),
    "sobel-y": ClassicKernel("-1 -2 -1; 0 0 0; 1 2 1", "change from top to bottom: level edges"),
    "prewitt-x": ClassicKernel("-1 0 1; -1 0 1; -1 0 1", "change from left to right, all rows alike"),
    "prewitt-y": ClassicKernel("-1 -1 -1; 0 0 0; 1 1 1", "change from top to bottom, all columns alike"),
    "laplacian": ClassicKernel("0 1 0; 1 -4 1; 0 1 0", "what differs from its four neighbours"),
    "box": ClassicKernel("1/9 1/9 1/9; 1/9 1/9 1/9; 1/9 1/9 1/9", "the mean of nine"),
    "gauss": ClassicKernel("1/16 2/16 1/16; 2/16 4/16 2/16; 1/16 2/16 1/16", "a mean that falls off: blurs"),
    "sharpen": ClassicKernel("0 -1 0; -1 5 -1; 0 -1 0", "a picture less its laplacian"),
}
