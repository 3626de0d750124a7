"""The kernels of convolutions, compared with what the layers compute."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.analysis.kernels import Convolution, convolutions, kernels_of
from cnncli.errors import CheckpointError
from cnncli.models.lenet5_1998 import C3_TABLE, TableConv2d
from cnncli.registry import MODELS


def by_hand(images: Tensor, layer: nn.Conv2d | TableConv2d, **geometry: int) -> Tensor:
    """Return the sum over the sources of each map, one kernel at a time, plus its bias."""
    sources, kernels = kernels_of(layer)
    rest = iter(kernels)
    maps = [
        sum(F.conv2d(images[:, [source]], next(rest)[None, None], **geometry) for source in seen) for seen in sources
    ]
    assert next(rest, None) is None
    assert layer.bias is not None
    return torch.cat(maps, dim=1) + layer.bias[:, None, None]


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_each_kernel_over_its_source_makes_what_the_layer_does(groups: int) -> None:
    """Plain, in groups, and depthwise with two maps a channel."""
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 12, (3, 2), stride=2, padding=1, groups=groups)
    images = torch.randn(2, 6, 9, 8)
    torch.testing.assert_close(by_hand(images, layer, stride=2, padding=1), layer(images))


def test_a_table_of_connections_is_followed() -> None:
    torch.manual_seed(0)
    layer, images = TableConv2d(C3_TABLE, 6, kernel_size=5), torch.randn(2, 6, 14, 14)
    assert kernels_of(layer)[0] == [list(seen) for seen in C3_TABLE]
    torch.testing.assert_close(by_hand(images, layer), layer(images))


def test_all_convolutions_are_found_in_order() -> None:
    """The shapes are those of the paper's two towers; 60 of C3's 96 kernels exist."""
    alexnet = convolutions(MODELS.get("alexnet")(groups=2, num_classes=2))
    assert [(layer.name, layer.shape, len(layer.kernels)) for layer in alexnet] == [
        ("features.0", [96, 3, 11, 11], 96 * 3),
        ("features.3", [256, 96, 5, 5], 256 * 48),
        ("features.6", [384, 256, 3, 3], 384 * 256),
        ("features.8", [384, 384, 3, 3], 384 * 192),
        ("features.10", [256, 384, 3, 3], 256 * 192),
    ]
    assert [layer.is_first for layer in alexnet] == [True, False, False, False, False]
    lenet = convolutions(MODELS.get("lenet5_1998")())
    assert [(layer.shape, len(layer.kernels)) for layer in lenet] == [([6, 1, 5, 5], 6), ([16, 6, 5, 5], 60)]
    assert convolutions(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))) == []


def test_norms_are_those_of_the_kernels() -> None:
    """Kernel n is n everywhere: of 2×2 values, its norm is 2n; where there is none, it is 0."""
    kernels = torch.arange(1.0, 4.0)[:, None, None].expand(3, 2, 2)
    layer = Convolution("c3", 3, [[0, 2], [1]], kernels, is_first=False)
    assert layer.norms().tolist() == [[2, 0, 4], [0, 6, 0]]
    assert [part.tolist() for part in layer.of_maps()] == [kernels[:2].tolist(), kernels[2:].tolist()]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_weight_is_told_with_its_layer(value: float) -> None:
    network = MODELS.get("lenet5")()
    with torch.no_grad():
        network.features[3].weight[1, 2, 3, 4] = value
    with pytest.raises(CheckpointError, match=r"features\.3: a weight is not a number"):
        convolutions(network)
