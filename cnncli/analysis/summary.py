"""A network layer by layer: sizes with their formulas, parameters, multiplications, receptive field.

Large ones are worked out on the meta device, where tensors have shapes and no numbers: AlexNet costs nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from cnncli.analysis.trace import tensors
from cnncli.models import window

MULTIPLIED = ("weight", "layer_scale")  # ends of the names of parameters that are multiplied with; the others are added
BYTES = 4  # of a float32
SMALL = 2**18  # numbers
Reach = tuple[int, int] | None  # the receptive field's side, and how far neighbours are apart, in pixels of the image
Step = tuple[str, nn.Module, Tensor, Tensor, int | None]  # a layer's name, itself, input, output, receptive field


@dataclass(frozen=True)
class Layer:
    """One layer; shapes are without the batch, ``receptive_field`` is in input pixels a side."""

    name: str
    kind: str
    input_shape: list[int]
    output_shape: list[int]
    formula: str  # how the output's size follows from the input's, in numbers; empty where it is the same
    weights: int
    biases: int
    macs: int  # multiplications with a weight, for one image
    dense_weights: int | None  # of a dense layer between the same two maps; None but for convolutions
    receptive_field: int | None  # None behind attention within windows


@dataclass(frozen=True)
class Summary:
    """A network, its layers in the order in which an image passes them, and the totals."""

    model: str
    input_size: list[int]  # [C, H, W]
    num_classes: int
    trainable: int
    layers: list[Layer]

    @property
    def weights(self) -> int:
        """Parameters that are multiplied with, fixed ones included."""
        return sum(layer.weights for layer in self.layers)

    @property
    def biases(self) -> int:
        """Parameters that are added."""
        return sum(layer.biases for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiplications with a weight, for one image."""
        return sum(layer.macs for layer in self.layers)

    def training_bytes(self, batch_size: int) -> dict[str, int]:
        """Return what training in float32 with momentum SGD keeps, in bytes; kernels' work space comes on top."""
        activations = sum(_numel(layer.output_shape) for layer in self.layers) + _numel(self.input_size)
        return {
            "weights": (self.weights + self.biases) * BYTES,
            "gradients": self.trainable * BYTES,
            "momentum": self.trainable * BYTES,
            "activations": activations * batch_size * BYTES,
        }


def to_follow(build: Callable[[], nn.Module], input_size: list[int]) -> nn.Module:
    """Return a network for :func:`summarise`: without numbers, or with them where it is small.

    The first operation on the meta device imports SymPy and PyTorch's compiler, which takes as long as importing torch.
    """
    with torch.device("meta"):
        model = build()
    numbers = sum(parameter.numel() for parameter in model.parameters()) + math.prod(input_size)
    return build() if numbers <= SMALL else model


def summarise(name: str, model: nn.Module, input_size: list[int], num_classes: int) -> Summary:
    """Follow one image [C, H, W] through ``model``, which stays where it is.

    A layer is a module that holds no other, or that has parameters of its own; of what is never called by itself, as
    the matrices of attention, the parameters belong to the layer around it.
    """
    model = model.eval()
    device = next((parameter.device for parameter in model.parameters()), torch.device("meta"))
    sight = Sight(max(input_size[1:]))
    with _watched(model, sight) as passed, sight, torch.no_grad():
        model(torch.zeros(1, *input_size, device=device))
    owned = _owned(model, {layer_name for layer_name, *_ in passed})
    layers = [_describe(*step, parameters=owned.pop(step[0], {})) for step in passed]
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return Summary(name, input_size, num_classes, trainable, layers)


def to_json(summary: Summary) -> dict[str, Any]:
    """Return what ``cnn summary --json`` prints."""
    return {
        "model": summary.model,
        "input_size": summary.input_size,
        "num_classes": summary.num_classes,
        "params": {
            "total": summary.weights + summary.biases,
            "trainable": summary.trainable,
            "weights": summary.weights,
            "biases": summary.biases,
        },
        "macs": summary.macs,
        "layers": [vars(layer) for layer in summary.layers],
    }


class Sight(TorchFunctionMode):
    """Follows how much of an image each tensor sees: what is made of several, as much as the one that sees most."""

    def __init__(self, image_side: int) -> None:
        super().__init__()
        self.whole: Reach = (image_side, 0)
        self._known = WeakTensorKeyDictionary()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self._note(result, self._of(args))
        return result

    def through(self, layer: nn.Module, source: Tensor, target: Tensor) -> int | None:
        """Note and return how many pixels a side the output of a layer sees; ``None`` where that is not followed."""
        reach = self._of(target)
        if reach is not None and (geometry := window(layer)) is not None:
            kernel, stride, _, dilation = geometry
            field, jump = reach
            reach = field + dilation * (kernel - 1) * jump, jump * stride
        elif _sees_all(layer, source, target):
            reach = self.whole
        elif "Attention" in type(layer).__name__:  # within windows that move
            reach = None
        self._note(target, reach)
        return reach and reach[0]

    def _of(self, value: Any) -> Reach:
        known: Any = self._known  # which states no types
        reaches = [known.get(tensor, (1, 1)) for tensor in tensors(value)]
        return None if None in reaches else max(reaches, default=(1, 1))

    def _note(self, value: Any, reach: Reach) -> None:
        for tensor in tensors(value):
            self._known[tensor] = reach


def _sees_all(layer: nn.Module, source: Tensor, target: Tensor) -> bool:
    """Whether each value of a layer's output is made of all of its input, or of what was flattened before."""
    if isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        return source.shape != target.shape
    return isinstance(layer, nn.MultiheadAttention) or len(target.shape) == 2


@contextmanager
def _watched(model: nn.Module, sight: Sight) -> Iterator[list[Step]]:
    """Fill the list that is yielded with the layers that an image passes inside the context."""
    passed: list[Step] = []

    def hook_for(name: str) -> Any:
        def note(layer: nn.Module, inputs: Any, output: Any) -> None:
            target = next(tensors(output))  # attention returns its weights as well
            source = next(tensors(inputs), target)
            passed.append((name, layer, source, target, sight.through(layer, source, target)))

        return note

    modules = [(name, module) for name, module in model.named_modules() if _is_layer(module)]
    handles = [module.register_forward_hook(hook_for(name)) for name, module in modules]
    try:
        yield passed
    finally:
        for handle in handles:
            handle.remove()


def _is_layer(module: nn.Module) -> bool:
    return not list(module.children()) or bool(list(module.parameters(recurse=False)))


def _owned(model: nn.Module, called: set[str]) -> dict[str, dict[str, Tensor]]:
    """Return the parameters of each layer that was called, those of layers within it that were not included."""
    owned: dict[str, dict[str, Tensor]] = {}
    for name, parameter in model.named_parameters():
        layer, _, own = name.rpartition(".")
        while layer and layer not in called:
            layer, _, outer = layer.rpartition(".")
            own = f"{outer}.{own}"
        owned.setdefault(layer, {})[own] = parameter
    return owned


def _describe(
    name: str,
    layer: nn.Module,
    inputs: Tensor,
    output: Tensor,
    field: int | None,
    parameters: Mapping[str, Tensor],
) -> Layer:
    weights = sum(parameter.numel() for key, parameter in parameters.items() if key.endswith(MULTIPLIED))
    source, target = list(inputs.shape[1:]), list(output.shape[1:])
    is_convolution = weights > 0 and hasattr(layer, "in_channels")
    return Layer(
        name=name or "(all)",
        kind=type(layer).__name__,
        input_shape=source,
        output_shape=target,
        formula=size_formula(layer, source, target),
        weights=weights,
        biases=sum(parameter.numel() for parameter in parameters.values()) - weights,
        macs=weights * _places(layer, target, any("." in key for key in parameters)),
        dense_weights=_numel(source) * _numel(target) if is_convolution else None,
        receptive_field=field,
    )


def _places(layer: nn.Module, target: list[int], is_attention: bool) -> int:
    """Return at how many places of the output [C, H, W], or [..., C] of dense layers, each weight is used once."""
    if isinstance(layer, nn.LayerNorm):
        return _numel(target) // layer.weight.numel()
    return _numel(target[:-1] if is_attention or isinstance(layer, nn.Linear) else target[1:])


def size_formula(layer: nn.Module, source: list[int], target: list[int]) -> str:
    """Write how the side of the output follows, with its numbers filled in; both sides where they differ."""
    if isinstance(layer, nn.Flatten):
        return f"{'·'.join(map(str, source))} = {target[0]}"
    if isinstance(layer, nn.ZeroPad2d | nn.ConstantPad2d):
        before, after = layer.padding[0], layer.padding[1]
        return f"{source[-1]} + {before} + {after} = {target[-1]}"
    sides = []
    for axis in (0, 1) if len(target) > 2 else (1,):
        if (geometry := window(layer, axis)) is None:
            return f"{source[-1]} → {target[-1]}" if isinstance(layer, nn.Linear) or source != target else ""
        kernel, stride, padding, dilation = geometry
        covered = f"{dilation}·({kernel} − 1) − 1" if dilation > 1 else str(kernel)
        left, right = "⌈⌉" if getattr(layer, "ceil_mode", False) else "⌊⌋"
        sides.append(f"{left}({source[axis - 2]} − {covered} + 2·{padding}) / {stride}{right} + 1 = {target[axis - 2]}")
    return ", ".join(dict.fromkeys(sides))


def _numel(shape: Any) -> int:
    return int(torch.Size(shape).numel())
