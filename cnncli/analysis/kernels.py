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
        return list(torch.split(self.kernels, list(map(len, self.sources))))

    def columns(self) -> list[list[int]]:
        """Return where each map's kernels stand in a table with a row a map: in the column of their input channel.

        Where all maps see equally many channels, as in groups, it is their place among those, so that none is empty.
        """
        numbers = set(map(len, self.sources))
        return self.sources if len(numbers) > 1 else [list(range(*numbers))] * len(self.sources)

    def norms(self) -> Tensor:
        """Return the Euclidean norms of the kernels, [output maps, columns], 0 where a map has none."""
        columns = self.columns()
        norms = torch.zeros(len(columns), 1 + max(map(max, columns)))
        for row, places, kernels in zip(list(norms), columns, self.of_maps(), strict=True):
            row[places] = kernels.flatten(1).norm(dim=1)
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
                raise CheckpointError(f"{one_line(name)}: a weight is not a number; take a checkpoint from before that")
            found.append(Convolution(name, layer.in_channels, sources, kernels, is_first=not found))
    return found


@dataclass(frozen=True)
class Selection:
    """Some output maps and input channels (in groups: places in the group) by number, and how many there are in all."""

    maps: list[int]
    channels: list[int]
    num_maps: int
    num_channels: int

    @property
    def left_out(self) -> str:
        """What is not among them, in words; empty where all are."""
        kinds = [(self.maps, self.num_maps, "maps"), (self.channels, self.num_channels, "channels")]
        missing = [f"{total - len(kept):,} of {total:,} {kind}" for kept, total, kind in kinds if len(kept) < total]
        return f"left out as the weakest: {' and '.join(missing)}" if missing else ""


def strongest(convolution: Convolution, most_maps: int, most_channels: int) -> Selection:
    """Return the maps whose kernels have the largest norm, and the channels that these maps weigh most, sorted."""
    norms = convolution.norms()
    num_maps, num_channels = norms.shape
    maps = norms.norm(dim=1).topk(min(most_maps, num_maps)).indices.sort().values
    channels = norms[maps].norm(dim=0).topk(min(most_channels, num_channels)).indices.sort().values
    return Selection(maps.tolist(), channels.tolist(), num_maps, num_channels)


def describe(convolution: Convolution, each_kernel: bool = False) -> dict[str, Any]:
    """Return a convolution in numbers, with the norm of all kernels of each map, or also with that of each kernel."""
    weights, norms = convolution.kernels.double(), convolution.norms()
    numbers = {
        "name": convolution.name,
        "shape": convolution.shape,
        "num_kernels": len(convolution.kernels),
        "min": weights.min().item(),
        "max": weights.max().item(),
        "mean": weights.mean().item(),
        "std": weights.std(correction=0).item(),
        "norms": norms.norm(dim=1).tolist(),
    }
    if each_kernel:
        each = [row[places].tolist() for row, places in zip(list(norms), convolution.columns(), strict=True)]
        numbers |= {"sources": convolution.sources, "kernel_norms": each}
    return numbers
