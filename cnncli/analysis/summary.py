"""A network layer by layer: sizes with their formulas, parameters, multiplications, receptive field.

Everything is worked out on the meta device, where tensors have shapes and no numbers: AlexNet costs nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cnncli.models import window

MULTIPLIED = ("weight",)  # names of the parameters that are multiplied with; the others are added
BYTES = 4  # of a float32


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
    receptive_field: int


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


def summarise(name: str, model: nn.Module, input_size: list[int], num_classes: int) -> Summary:
    """Follow one image [C, H, W] through ``model``, whose layers form a chain; it is moved to the meta device."""
    model = model.to("meta").eval()
    layers: list[Layer] = []
    field, jump = 1, 1  # of the receptive field: its side, and how far neighbours are apart, in input pixels

    def note(layer_name: str, layer: nn.Module, inputs: Tensor, output: Tensor) -> None:
        nonlocal field, jump
        if (geometry := window(layer)) is not None:
            kernel, stride, _, dilation = geometry
            field, jump = field + dilation * (kernel - 1) * jump, jump * stride
        elif len(output.shape) == 2:  # after flattening, everything is seen
            field = max(input_size[1:])
        layers.append(_describe(layer_name, layer, inputs, output, field))

    with _watched(model, note), torch.no_grad():
        model(torch.empty(1, *input_size, device="meta"))
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


@contextmanager
def _watched(model: nn.Module, note: Any) -> Iterator[None]:
    """Call ``note(name, layer, input, output)`` for each layer that an image passes inside the context."""

    def hook_for(name: str) -> Any:
        return lambda layer, inputs, output: note(name, layer, inputs[0], output)

    leaves = [(name, layer) for name, layer in model.named_modules() if not list(layer.children())]
    handles = [layer.register_forward_hook(hook_for(name)) for name, layer in leaves]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _describe(name: str, layer: nn.Module, inputs: Tensor, output: Tensor, field: int) -> Layer:
    parameters = {key: parameter.numel() for key, parameter in layer.named_parameters(recurse=False)}
    weights = sum(count for key, count in parameters.items() if key in MULTIPLIED)
    places = _numel(output.shape[2:])  # each weight is used once at each place of the output
    source, target = list(inputs.shape[1:]), list(output.shape[1:])
    is_convolution = weights > 0 and hasattr(layer, "in_channels")
    return Layer(
        name=name,
        kind=type(layer).__name__,
        input_shape=source,
        output_shape=target,
        formula=_formula(layer, source, target),
        weights=weights,
        biases=sum(parameters.values()) - weights,
        macs=weights * places,
        dense_weights=_numel(source) * _numel(target) if is_convolution else None,
        receptive_field=field,
    )


def _formula(layer: nn.Module, source: list[int], target: list[int]) -> str:
    """Write how the side of the output follows, with its numbers filled in."""
    if isinstance(layer, nn.Flatten):
        return f"{'·'.join(map(str, source))} = {target[0]}"
    if isinstance(layer, nn.ZeroPad2d | nn.ConstantPad2d):
        before, after = layer.padding[0], layer.padding[1]
        return f"{source[-1]} + {before} + {after} = {target[-1]}"
    if (geometry := window(layer)) is None:
        return f"{source[-1]} → {target[-1]}" if isinstance(layer, nn.Linear) or source != target else ""
    kernel, stride, padding, dilation = geometry
    covered = f"{dilation}·({kernel} − 1) − 1" if dilation > 1 else str(kernel)
    return f"⌊({source[-1]} − {covered} + 2·{padding}) / {stride}⌋ + 1 = {target[-1]}"


def _numel(shape: Any) -> int:
    return int(torch.Size(shape).numel())
