"""The kernels of convolutions, however a layer stores them."""

from typing import Any

from torch import Tensor


def kernels_of(layer: Any) -> tuple[list[list[int]], Tensor]:
    """Return the input channels that each output map sees, and their kernels, [all of them, kh, kw], in this order.

    Knows plain, grouped and depthwise convolutions, and those with a table of connections, such as C3 of LeNet-5.
    """
    if hasattr(layer, "places"):
        sources: list[list[int]] = [[] for _ in range(layer.out_channels)]
        for place in layer.places.tolist():
            sources[place // layer.in_channels].append(place % layer.in_channels)
        return sources, layer.weight.detach()
    inside, outside = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    sources = [
        list(range(unit // outside * inside, (unit // outside + 1) * inside)) for unit in range(layer.out_channels)
    ]
    return sources, layer.weight.detach().flatten(0, 1)
