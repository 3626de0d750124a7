"""The kernels of convolutions, however a layer stores them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cnncli.errors import CheckpointError
from cnncli.text import one_line


@dataclass(frozen=True)
class Convolution:
    """A convolution of a network: ``sources`` are the input channels that each output map sees.

    Its kernels are [all of them, kh, kw], those of the first map first, in the order of its sources.
    """

    name: str
    in_channels: int
    sources: list[list[int]]
    kernels: Tensor
    is_first: bool

    @property
    def shape(self) -> list[int]:
        """Output maps, input channels, height and width, as if every map saw every channel."""
        return [len(self.sources), self.in_channels, *self.kernels.shape[1:]]

    def of_maps(self) -> list[Tensor]:
        """Return the kernels of each output map, [its sources, kh, kw]."""
        return list(self.kernels.split(list(map(len, self.sources))))

    def norms(self) -> Tensor:
        """Return each kernel's Euclidean norm, [output maps, input channels], 0 where a map does not see a channel."""
        norms = torch.zeros(self.shape[:2])
        for row, seen, kernels in zip(norms, self.sources, self.of_maps(), strict=True):
            row[seen] = kernels.flatten(1).norm(dim=1)
        return norms


def kernels_of(layer: Any) -> tuple[list[list[int]], Tensor]:
    """Return the input channels that each output map sees, and their kernels, [all of them, kh, kw], in this order.

    Knows plain, grouped and depthwise convolutions, and those with a table of connections, such as C3 of LeNet-5.
    """
    if hasattr(layer, "places"):  # output map · input channels + input channel, in this order
        sources: list[list[int]] = [[] for _ in range(layer.out_channels)]
        for place in layer.places.tolist():
            sources[place // layer.in_channels].append(place % layer.in_channels)
        return sources, layer.weight.detach()
    inside, outside = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    sources = [
        list(range(unit // outside * inside, (unit // outside + 1) * inside)) for unit in range(layer.out_channels)
    ]
    return sources, layer.weight.detach().flatten(0, 1)


def convolutions(network: nn.Module) -> list[Convolution]:
    """Return the convolutions of images in the order in which ``network`` lists its layers.

    Raises ``CheckpointError`` where a weight is not a finite number.
    """
    found: list[Convolution] = []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d) or hasattr(layer, "places"):
            sources, kernels = kernels_of(layer)
            if not kernels.isfinite().all():
                raise CheckpointError(f"{one_line(name)}: a weight is not a number: the network is broken")
            found.append(Convolution(name, layer.in_channels, sources, kernels, is_first=not found))
    return found
