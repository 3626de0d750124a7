"""What a layer computes, in words and numbers that a page can compute it anew from.

An :class:`Operation` holds all that its result follows from; :func:`apply` is its meaning, as ``arithmetic.js`` is in
the page.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.analysis.kernels import kernels_of
from cnncli.analysis.trace import Node
from cnncli.models import window
from cnncli.models.lenet5_1998 import RBF, ScaledTanh, Subsampling, TableConv2d

ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.LeakyReLU: "leaky_relu",
    nn.ELU: "elu",
    nn.Tanh: "tanh",
    ScaledTanh: "scaled_tanh",
    nn.Sigmoid: "sigmoid",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Hardswish: "hardswish",
    nn.SiLU: "silu",
    nn.GELU: "gelu",
}
IDENTITIES = ("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "Identity", "StochasticDepth")  # once it is trained
CHANNELWISE = frozenset(
    ("activation", "pool", "adaptive", "norm", "lrn", "subsample", "pad", "identity", "add", "multiply")
)  # an output map follows from the input maps of the same number alone
STORED = frozenset(("input", "convolution", "dense", "rbf", "other"))  # whose results are not computed anew


@dataclass(frozen=True)
class Operation:
    """A kind, plain options, and tensors by name; of a kind that is not known, ``other``, neither."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)


def operation_of(node: Node, inputs: Sequence[Tensor]) -> Operation:
    """Return what a node does to its inputs, [C, H, W] or [N] each."""
    if node.layer is None:
        return _function(node, inputs)
    layer, dims = node.layer, [value.dim() for value in (*inputs, node.output)]
    if type(layer).__name__ in IDENTITIES:
        return Operation("identity", {"dropped": getattr(layer, "p", None)})
    if (name := ACTIVATIONS.get(type(layer))) is not None:
        return Operation("activation", {"function": name, **_shape_of_curve(layer)})
    if isinstance(layer, nn.Flatten) and dims[-1] == 1:
        return Operation("flatten")
    describe = (MAPS if dims == [3, 3] else VECTORS if dims == [1, 1] else {}).get(type(layer))
    if describe is None or getattr(layer, "in_channels", len(inputs[0])) != len(inputs[0]):  # of windows, one by one
        return OTHER
    return describe(layer)


def apply(operation: Operation, inputs: Sequence[Tensor], others: Tensor | None = None) -> Tensor:
    """Return what an operation that is not stored makes of its inputs, [C, H, W] or [N].

    ``others`` is what comes from channels that are not among the inputs, where an operation crosses channels.
    """
    return APPLY[operation.kind](operation, *inputs, *(() if others is None else (others,)))


def squares_of_neighbours(maps: Tensor, size: int) -> Tensor:
    """Return for each map [H, W] of [C, H, W] the sum of squares of those at most ``size`` / 2 channels away."""
    before, after = size // 2, (size - 1) // 2
    padded = F.pad(maps.square(), (0, 0, 0, 0, before, after))
    around = [padded[shift : shift + len(maps)] for shift in range(size) if shift != before]
    return torch.stack(around).sum(0) if around else torch.zeros_like(maps)


OTHER = Operation("other")


def _function(node: Node, inputs: Sequence[Tensor]) -> Operation:
    if node.operation == "Input":
        return Operation("input")
    if node.operation in ("cat", "concat", "concatenate") and len(node.output) == sum(map(len, inputs)):
        return Operation("concatenate")
    if node.operation in ("add", "mul") and len(inputs) == 2 and all(_goes_with(node.output, x) for x in inputs):
        return Operation("add" if node.operation == "add" else "multiply")
    return OTHER


def _goes_with(output: Tensor, value: Tensor) -> bool:
    """Whether each number of a result has its own number of an input, or one of its row, its column or its map."""
    return value.shape == output.shape or value.dim() == output.dim() <= 3


def _shape_of_curve(layer: nn.Module) -> dict[str, Any]:
    """Return the options of an activation that has some."""
    names = {"negative_slope": "slope", "alpha": "alpha", "approximate": "approximate"}
    return {name: getattr(layer, theirs) for theirs, name in names.items() if hasattr(layer, theirs)}


def _geometry(layer: Any) -> dict[str, Any] | None:
    """Return how a window slides, each along the height and the width; ``None`` where its padding is uneven."""
    rows, columns = window(layer, 0), window(layer, 1)
    if rows is None or columns is None:
        return None
    names = ("kernel", "stride", "padding", "dilation")
    return {name: [row, column] for name, row, column in zip(names, rows, columns, strict=True)}


def _convolution(layer: Any) -> Operation:
    geometry = _geometry(layer)
    if geometry is None or getattr(layer, "padding_mode", "zeros") != "zeros":
        return OTHER
    sources, kernels = kernels_of(layer)
    bias = layer.bias if layer.bias is not None else torch.zeros(len(sources))
    options = {**geometry, "groups": getattr(layer, "groups", 1), "sources": sources}
    return Operation("convolution", options, _plain(weight=kernels, bias=bias))


def _dense(layer: Any) -> Operation:
    bias = layer.bias if layer.bias is not None else torch.zeros(layer.out_features)
    return Operation("dense", {}, _plain(weight=layer.weight, bias=bias))


def _norm(layer: Any) -> Operation:
    if layer.running_mean is None:
        return OTHER
    mean, variance = layer.running_mean, layer.running_var
    scale = torch.ones_like(mean) if layer.weight is None else layer.weight
    shift = torch.zeros_like(mean) if layer.bias is None else layer.bias
    return Operation("norm", {"eps": layer.eps}, _plain(mean=mean, variance=variance, weight=scale, bias=shift))


def _pool(layer: Any, reduce: str, **counts: Any) -> Operation:
    geometry = _geometry(layer)
    assert geometry is not None  # the padding of a pool is a number
    return Operation("pool", {"reduce": reduce, **geometry, "ceil": bool(layer.ceil_mode), **counts})


def _max_pool(layer: Any) -> Operation:
    return _pool(layer, "max")


def _average_pool(layer: Any) -> Operation:
    counts = {"count_include_pad": bool(layer.count_include_pad), "divisor": layer.divisor_override}
    return _pool(layer, "average", **counts)


def _adaptive(reduce: str) -> Callable[[Any], Operation]:
    def describe(layer: Any) -> Operation:
        size = layer.output_size  # a side that is None stays as it is
        return Operation("adaptive", {"reduce": reduce, "size": list(size) if isinstance(size, tuple) else [size] * 2})

    return describe


def _local_response(layer: Any) -> Operation:
    return Operation("lrn", {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "k": layer.k})


def _pad(layer: Any) -> Operation:
    if not math.isfinite(layer.value):  # which a page's options cannot be
        return OTHER
    return Operation("pad", {"padding": list(layer.padding), "value": float(layer.value)})


def _plain(**tensors: Tensor) -> dict[str, Tensor]:
    return {name: value.detach().float() for name, value in tensors.items()}


Describe = Callable[[Any], Operation]
MAPS: dict[type[nn.Module], Describe] = {
    nn.Conv2d: _convolution,
    TableConv2d: _convolution,
    nn.BatchNorm2d: _norm,
    nn.LocalResponseNorm: _local_response,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _adaptive("average"),
    nn.AdaptiveMaxPool2d: _adaptive("max"),
    Subsampling: lambda layer: Operation("subsample", {}, _plain(weight=layer.weight, bias=layer.bias)),
    nn.ConstantPad2d: _pad,
    nn.ZeroPad2d: _pad,
}
VECTORS: dict[type[nn.Module], Describe] = {
    nn.Linear: _dense,
    nn.BatchNorm1d: _norm,
    RBF: lambda layer: Operation("rbf", {}, _plain(weight=layer.weight)),
    nn.Softmax: lambda layer: Operation("softmax"),
}


def _apply_activation(operation: Operation, values: Tensor) -> Tensor:
    options = operation.options
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": F.relu,
        "relu6": F.relu6,
        "leaky_relu": lambda x: F.leaky_relu(x, options["slope"]),
        "elu": lambda x: F.elu(x, options["alpha"]),
        "tanh": torch.tanh,
        "scaled_tanh": ScaledTanh(),
        "sigmoid": torch.sigmoid,
        "hardsigmoid": F.hardsigmoid,
        "hardswish": F.hardswish,
        "silu": F.silu,
        "gelu": lambda x: F.gelu(x, approximate=options["approximate"]),
    }
    result: Tensor = functions[options["function"]](values)
    return result


def _apply_pool(operation: Operation, maps: Tensor) -> Tensor:
    options = operation.options
    kernel, stride, padding, dilation = (options[name] for name in ("kernel", "stride", "padding", "dilation"))
    if options["reduce"] == "max":
        return F.max_pool2d(maps[None], kernel, stride, padding, dilation, options["ceil"])[0]
    counts = options["count_include_pad"], options["divisor"]
    return F.avg_pool2d(maps[None], kernel, stride, padding, options["ceil"], *counts)[0]


def _apply_adaptive(operation: Operation, maps: Tensor) -> Tensor:
    pool = F.adaptive_max_pool2d if operation.options["reduce"] == "max" else F.adaptive_avg_pool2d
    result: Tensor = pool(maps[None], operation.options["size"])[0]
    return result


def _apply_norm(operation: Operation, values: Tensor) -> Tensor:
    mean, variance, weight, bias = (operation.tensors[name] for name in ("mean", "variance", "weight", "bias"))
    result: Tensor = F.batch_norm(values[None], mean, variance, weight, bias, eps=operation.options["eps"])[0]
    return result


def _apply_local_response(operation: Operation, maps: Tensor, others: Tensor | None = None) -> Tensor:
    """Divide by a power of the sum of squares; ``others`` are those of the neighbours where ``maps`` lack some."""
    options = operation.options
    squares = maps.square() + (squares_of_neighbours(maps, options["size"]) if others is None else others)
    power: Tensor = (options["k"] + options["alpha"] / options["size"] * squares) ** options["beta"]
    return maps / power


def _apply_subsample(operation: Operation, maps: Tensor) -> Tensor:
    sums = F.avg_pool2d(maps, 2) * 4
    return sums * operation.tensors["weight"][:, None, None] + operation.tensors["bias"][:, None, None]


def _apply_pad(operation: Operation, maps: Tensor) -> Tensor:
    return F.pad(maps, operation.options["padding"], value=operation.options["value"])


APPLY: dict[str, Callable[..., Tensor]] = {
    "activation": _apply_activation,
    "pool": _apply_pool,
    "adaptive": _apply_adaptive,
    "norm": _apply_norm,
    "lrn": _apply_local_response,
    "subsample": _apply_subsample,
    "pad": _apply_pad,
    "identity": lambda operation, values: values,
    "add": lambda operation, left, right: left + right,
    "multiply": lambda operation, left, right: left * right,
    "concatenate": lambda operation, *values: torch.cat(values),
    "flatten": lambda operation, values: values.flatten(),
    "softmax": lambda operation, values: values.softmax(0),
}
