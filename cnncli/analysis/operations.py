"""What a layer computes, in words and numbers that a page can compute it anew from.

An :class:`Operation` holds all that its result follows from; :func:`apply` is its meaning, as ``arithmetic.js`` is in
the page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.analysis.kernels import kernels_of
from cnncli.analysis.trace import Node
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
    """Return what a node does to its inputs, each without the batch."""
    if node.layer is None:
        return _function(node, inputs)
    layer, shapes = node.layer, [value.dim() for value in (*inputs, node.output)]
    if type(layer).__name__ in IDENTITIES:
        return Operation("identity", {"dropped": getattr(layer, "p", None)})
    if (name := ACTIVATIONS.get(type(layer))) is not None:
        return Operation("activation", {"function": name, **_slopes(layer)})
    if shapes == [3, 3] and (describe := MAPS.get(type(layer))) is not None:
        return describe(layer)
    if shapes == [1, 1] and (describe := VECTORS.get(type(layer))) is not None:
        return describe(layer)
    if isinstance(layer, nn.Flatten) and shapes[-1] == 1:
        return Operation("flatten")
    return OTHER


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
    if len(inputs) < 2 or any(value.dim() not in (1, 3) for value in (*inputs, node.output)):
        return OTHER
    if node.operation == "cat" and node.output.shape[0] == sum(len(value) for value in inputs):
        return Operation("concatenate")
    if node.operation in ("add", "mul") and len(inputs) == 2:
        return Operation("add" if node.operation == "add" else "multiply")
    return OTHER


def _slopes(layer: nn.Module) -> dict[str, Any]:
    """Return the options of an activation that has some."""
    return {
        name: value
        for name, value in (("slope", getattr(layer, "negative_slope", None)), ("alpha", getattr(layer, "alpha", None)))
        if value is not None
    } | ({"approximate": layer.approximate} if isinstance(layer, nn.GELU) else {})


def _pair(value: Any) -> list[int]:
    return list(map(int, value)) if isinstance(value, tuple | list) else [int(value)] * 2


def _geometry(layer: Any) -> dict[str, list[int]]:
    """Return how a window slides: kernel, stride, padding and dilation, each along the height and the width."""
    return {
        "kernel": _pair(layer.kernel_size),
        "stride": _pair(layer.stride),
        "padding": _pair(getattr(layer, "padding", 0)),
        "dilation": _pair(getattr(layer, "dilation", 1)),
    }


def _convolution(layer: Any) -> Operation:
    if getattr(layer, "padding_mode", "zeros") != "zeros" or isinstance(getattr(layer, "padding", 0), str):
        return OTHER
    sources, kernels = kernels_of(layer)
    bias = layer.bias if layer.bias is not None else torch.zeros(len(sources))
    return Operation("convolution", {**_geometry(layer), "sources": sources}, _plain(weight=kernels, bias=bias))


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


def _max_pool(layer: Any) -> Operation:
    return Operation("pool", {"reduce": "max", **_geometry(layer), "ceil": bool(layer.ceil_mode)})


def _average_pool(layer: Any) -> Operation:
    counts = {"count_include_pad": bool(layer.count_include_pad), "divisor": layer.divisor_override}
    return Operation("pool", {"reduce": "average", **_geometry(layer), "ceil": bool(layer.ceil_mode), **counts})


def _adaptive(reduce: str) -> Callable[[Any], Operation]:
    return lambda layer: Operation("adaptive", {"reduce": reduce, "size": _pair_or_none(layer.output_size)})


def _pair_or_none(value: Any) -> list[int | None]:
    return list(value) if isinstance(value, tuple | list) else [value, value]


def _local_response(layer: Any) -> Operation:
    return Operation("lrn", {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "k": layer.k})


def _pad(layer: Any) -> Operation:
    return Operation("pad", {"padding": list(map(int, layer.padding)), "value": float(getattr(layer, "value", 0))})


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
    return maps / (options["k"] + options["alpha"] / options["size"] * squares) ** options["beta"]


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
