"""What a layer computes, said in words and numbers, against the layer itself."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from cnncli.analysis.operations import APPLY, OTHER, STORED, Operation, apply, operation_of, squares_of_neighbours
from cnncli.analysis.trace import Node
from cnncli.models.lenet5_1998 import C3_TABLE, RBF, ScaledTanh, Subsampling, TableConv2d, digit_codes


def numbers(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(0)) * 2


def described(layer: nn.Module, values: Tensor) -> tuple[Operation, Tensor]:
    """Return a layer's operation, and what the layer makes of [C, H, W] or [N]."""
    torch.manual_seed(0)
    with torch.no_grad():
        result = layer.eval()(values[None].clone())[0]
    return operation_of(Node("", type(layer).__name__, layer, (0,), result), [values]), result


def drawn(layer: nn.Module) -> nn.Module:
    """Return a layer with nothing left at zero or one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in layer.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5, generator=generator)
    return layer


class Relu6(nn.ReLU6):
    """One of somebody else's, that may compute what it likes."""


SAME = [
    *(nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.ELU(), nn.ELU(0.5)),
    *(nn.Tanh(), ScaledTanh(), nn.Sigmoid(), nn.Hardsigmoid(), nn.Hardswish(), nn.SiLU(), nn.GELU()),
    nn.GELU(approximate="tanh"),
    *(nn.Dropout(0.3), nn.Dropout2d(), nn.AlphaDropout(), nn.Identity(), StochasticDepth(0.2, "row")),
]
MAPS = [
    *(nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, dilation=2), nn.MaxPool2d((3, 2), (2, 1), (1, 0))),
    *(nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(2, 3, ceil_mode=True)),
    *(nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    *(nn.AvgPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(3, 2, 1, True, False), nn.AvgPool2d((2, 3), 1)),
    nn.AvgPool2d(2, divisor_override=3),
    *(nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d((3, 2)), nn.AdaptiveAvgPool2d((None, 2)), nn.AdaptiveMaxPool2d(4)),
    *(drawn(nn.BatchNorm2d(6)), drawn(nn.BatchNorm2d(6, affine=False)), drawn(nn.BatchNorm2d(6, eps=0.1))),
    *(nn.LocalResponseNorm(size, alpha=0.5, beta=0.6, k=2) for size in (1, 2, 3, 4, 5, 13)),
    *(drawn(Subsampling(6)), nn.ConstantPad2d((1, 2, 3, 0), -0.1), nn.ZeroPad2d(1), nn.ConstantPad2d(-1, 0.0)),
    *SAME,
]
VECTORS = [drawn(nn.BatchNorm1d(6)), nn.Softmax(dim=1), *(layer for layer in SAME if type(layer) is not nn.Dropout2d)]


@pytest.mark.parametrize("layer", MAPS, ids=str)
@pytest.mark.parametrize("size", [(6, 8, 8), (6, 7, 10)], ids=str)
def test_maps_are_computed_as_the_layer_does(layer: nn.Module, size: tuple[int, ...]) -> None:
    values = numbers(*size)
    operation, result = described(layer, values)
    assert operation.kind in APPLY
    assert operation.kind not in STORED
    torch.testing.assert_close(apply(operation, [values]), result, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer", VECTORS, ids=str)
def test_vectors_are_computed_as_the_layer_does(layer: nn.Module) -> None:
    values = numbers(6)
    operation, result = described(layer, values)
    torch.testing.assert_close(apply(operation, [values]), result, rtol=0, atol=1e-6)


def test_flatten() -> None:
    operation, result = described(nn.Flatten(), numbers(2, 3, 4))
    assert operation.kind == "flatten"
    assert torch.equal(apply(operation, [numbers(2, 3, 4)]), result)


CONVOLUTIONS = [
    *(nn.Conv2d(6, 4, 3), nn.Conv2d(6, 4, 3, bias=False), nn.Conv2d(6, 4, (1, 3), (2, 1), (0, 2), (1, 2))),
    *(nn.Conv2d(6, 4, 3, groups=2), nn.Conv2d(6, 12, 3, groups=6), TableConv2d(C3_TABLE, 6, 3)),
    *(nn.Conv2d(6, 4, 3, padding="same", dilation=2), nn.Conv2d(6, 4, 3, padding="valid")),
    nn.Conv2d(6, 4, (2, 3), padding="same", dilation=(2, 1)),
]


def convolved(operation: Operation, maps: Tensor) -> Tensor:
    """Return the sums of an operation's kernels one by one, each over its own input map."""
    options, weight, bias = operation.options, operation.tensors["weight"], operation.tensors["bias"]
    geometry = options["stride"], options["padding"], options["dilation"]
    kernels = iter(weight)
    results = []
    for sources, start in zip(options["sources"], bias, strict=True):
        pieces = [
            F.conv2d(maps[None, [source]], next(kernels)[None, None], None, *geometry)[0, 0] for source in sources
        ]
        results.append(torch.stack(pieces).sum(0) + start)
    assert next(kernels, None) is None
    return torch.stack(results)


@pytest.mark.parametrize("layer", CONVOLUTIONS, ids=str)
def test_a_convolution_is_the_sum_of_its_kernels(layer: nn.Module) -> None:
    maps = numbers(6, 9, 11)
    operation, result = described(layer, maps)
    assert operation.kind == "convolution"
    assert operation.options["kernel"] == list(operation.tensors["weight"].shape[1:])
    torch.testing.assert_close(convolved(operation, maps), result, rtol=0, atol=1e-4)


def test_dense_and_radial_layers_hand_over_their_weights() -> None:
    values = numbers(84)
    for layer in (nn.Linear(84, 10), nn.Linear(84, 10, bias=False)):
        operation, result = described(layer, values)
        assert operation.kind == "dense"
        torch.testing.assert_close(operation.tensors["weight"] @ values + operation.tensors["bias"], result)
    operation, result = described(RBF(digit_codes()), values)
    assert operation.kind == "rbf"
    torch.testing.assert_close(-(operation.tensors["weight"] - values).square().sum(1), result)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular"), (6, 8, 8)),
        (nn.Conv2d(6, 4, 2, padding="same"), (6, 8, 8)),  # one more zero on one side than on the other
        (nn.Conv2d(6, 4, (3, 2), padding="same"), (6, 8, 8)),
        (nn.ConvTranspose2d(6, 4, 2), (6, 8, 8)),
        (nn.Conv1d(6, 4, 3), (6, 8)),
        (nn.Conv3d(2, 4, 3), (2, 4, 5, 5)),
        (nn.BatchNorm2d(6, track_running_stats=False), (6, 8, 8)),
        (nn.GroupNorm(2, 6), (6, 8, 8)),
        (nn.LayerNorm(8), (6, 8, 8)),
        (nn.Linear(8, 3), (6, 8, 8)),
        (nn.ConstantPad2d(1, float("-inf")), (6, 8, 8)),
        (nn.Upsample(scale_factor=2), (6, 8, 8)),
        (nn.Flatten(2), (6, 8, 8)),
        (nn.PReLU(), (6, 8, 8)),
        (Relu6(), (6, 8, 8)),
    ],
    ids=str,
)
def test_what_has_no_view_of_its_own(layer: nn.Module, size: tuple[int, ...]) -> None:
    assert described(layer, numbers(*size))[0] is OTHER


def function(name: str, inputs: Sequence[Tensor], output: Tensor) -> str:
    return operation_of(Node("", name, None, tuple(range(len(inputs))), output), inputs).kind


def test_functions_of_several_results() -> None:
    maps, scales, vector = numbers(6, 4, 4), numbers(6, 1, 1), numbers(6)
    assert function("Input", [], maps) == "input"
    assert function("add", [maps, maps], maps) == "add"
    assert function("mul", [scales, maps], maps) == "multiply"
    assert function("add", [maps], maps) == "other"  # a number
    assert function("sub", [maps, maps], maps) == "other"
    for name in ("cat", "concat", "concatenate"):
        assert function(name, [maps, maps], torch.cat([maps, maps])) == "concatenate"
        assert function(name, [maps, maps], torch.cat([maps, maps], 1)) == "other"
    assert function("cat", [vector], vector) == "concatenate"
    assert torch.equal(apply(Operation("add"), [maps, scales]), maps + scales)
    assert torch.equal(apply(Operation("multiply"), [scales, maps]), maps * scales)
    assert torch.equal(apply(Operation("concatenate"), [maps, scales.expand(6, 4, 4)])[6:], scales.expand(6, 4, 4))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_squares_of_neighbours_are_those_that_local_response_adds_up(size: int) -> None:
    """With k = 0, beta = 1, alpha = size, the layer divides by the sum of squares."""
    maps = numbers(6, 2, 3)
    sums = maps / F.local_response_norm(maps[None], size, alpha=size, beta=1.0, k=0.0)[0]
    torch.testing.assert_close(squares_of_neighbours(maps, size) + maps.square(), sums, rtol=1e-4, atol=1e-4)
    some, units = maps[[1, 4]], [1, 4]
    lrn = Operation("lrn", {"size": size, "alpha": 0.5, "beta": 0.75, "k": 1.0})
    wanted = F.local_response_norm(maps[None], size, 0.5, 0.75, 1.0)[0, units]
    torch.testing.assert_close(apply(lrn, [some], squares_of_neighbours(maps, size)[units]), wanted)
