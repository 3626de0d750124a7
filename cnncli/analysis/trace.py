"""One forward pass as a graph: each operation, what it was given, what it made, and how much the answer hangs on it.

Layers are seen by hooks and what lies between them by a function mode, not by ``torch.fx``: a network whose way
depends on its numbers is followed as well, and what is recorded is what ran.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

# Functions that compute as a layer does that is made of their other arguments.
LAYERS: dict[Any, Callable[..., nn.Module]] = {
    F.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    Tensor.relu: nn.ReLU,
    torch.tanh: nn.Tanh,
    Tensor.tanh: nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    Tensor.sigmoid: nn.Sigmoid,
    F.max_pool2d: nn.MaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.dropout: nn.Dropout,
    torch.flatten: nn.Flatten,
    Tensor.flatten: nn.Flatten,
}
RESHAPING = (Tensor.view, Tensor.reshape, torch.reshape)


@dataclass(eq=False)
class Node:
    """An operation, or one of several tensors that it made, without the batch of one image."""

    name: str  # the module's, such as features.0; of a function the one that it is called in
    operation: str  # the class of a layer, or a function's name
    layer: nn.Module | None
    inputs: tuple[int, ...]  # the nodes that it was given, by number
    output: Tensor  # [C, H, W] or [N]
    gradient: Tensor = field(init=False)  # of the answer with respect to the output, of its shape

    def __post_init__(self) -> None:
        self.gradient = torch.zeros_like(self.output)


def trace(model: nn.Module, image: Tensor) -> list[Node]:
    """Follow an image [1, C, H, W] through ``model``, which is ready to evaluate; its weights get no gradients.

    The first node is the image, the last one the logits; the answer is the largest of them. Raises ``ValueError``
    where the network does not end in one number a class.
    """
    tracer = _Tracer()
    leaf = image.detach().requires_grad_()
    with torch.enable_grad(), tracer.watching(model):
        given = leaf.clone()  # which layers may write upon, unlike a leaf
        tracer.note("", "Input", None, (), given)
        with tracer:
            logits = model(given)
        last = tracer.node_of(logits)
        if last is None or logits.dim() != 2:
            raise ValueError("the network does not end in one number a class")
        if logits.requires_grad:
            logits.max().backward(inputs=[leaf])
    return _leading_to(tracer.nodes, last)


def _leading_to(nodes: list[Node], last: int) -> list[Node]:
    """Return the nodes that ``last`` is made of, renumbered: others, such as auxiliary heads, lead nowhere."""
    wanted = {last}
    for number in range(last, -1, -1):
        if number in wanted:
            wanted.update(nodes[number].inputs)
    kept = sorted(wanted)
    new = {number: place for place, number in enumerate(kept)}
    for number in kept:
        nodes[number].inputs = tuple(new[source] for source in nodes[number].inputs)
    return [nodes[number] for number in kept]


class _Tracer(TorchFunctionMode):
    """Records layers, and functions outside of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self._made_by: Any = WeakTensorKeyDictionary()  # which states no types
        self._layers_around = 0
        self._given: tuple[int, ...] = ()  # the nodes that the outermost of them was given
        self._modules_around: list[str] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if self._layers_around:
            return function(*args, **given)
        sources = self._sources((args, list(given.values())))  # before the function may write upon them
        result = function(*args, **given)
        if function is Tensor.__setitem__:
            result = args[0]  # which it writes upon, and returns nothing
        made = next(tensors(result), None)
        if made is not None and sources:
            layer = _as_layer(function, args, given, made)
            operation = type(layer).__name__ if layer else getattr(function, "__name__", "function").strip("_")
            self.note(self._modules_around[-1], operation, layer, sources, result)
        return result

    def note(self, name: str, operation: str, layer: nn.Module | None, sources: tuple[int, ...], result: Any) -> None:
        """Record each tensor of a result as a node, and have its gradient kept."""
        for tensor in tensors(result):
            node = Node(name, operation, layer, sources, _of_one(tensor))
            if tensor.requires_grad:
                tensor.register_hook(partial(_keep_gradient, node))  # type: ignore[no-untyped-call]
            self._made_by[tensor] = len(self.nodes)
            self.nodes.append(node)

    def node_of(self, tensor: Any) -> int | None:
        """Return the number of the node that made a tensor."""
        number: int | None = self._made_by.get(tensor) if isinstance(tensor, Tensor) else None
        return number

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Record the layers of a model inside the context."""
        handles = []
        for name, module in model.named_modules():
            if name and _is_layer(module):
                handles += [
                    module.register_forward_pre_hook(self._enter_layer, with_kwargs=True),
                    module.register_forward_hook(partial(self._leave_layer, name)),
                ]
            else:
                handles += [
                    module.register_forward_pre_hook(partial(self._enter_module, name)),
                    module.register_forward_hook(self._leave_module),
                ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter_layer(self, layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if not self._layers_around:
            self._given = self._sources((args, list(kwargs.values())))  # before the layer may write upon them
        self._layers_around += 1

    def _leave_layer(self, name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        if self._layers_around == 1 and self._given:
            self.note(name, type(layer).__name__, layer, self._given, output)
        self._layers_around -= 1  # last, or what is done here would be recorded

    def _enter_module(self, name: str, *_: Any) -> None:
        self._modules_around.append(name)

    def _leave_module(self, *_: Any) -> None:
        self._modules_around.pop()

    def _sources(self, given: Any) -> tuple[int, ...]:
        numbers = (self._made_by.get(tensor) for tensor in tensors(given))
        return tuple(dict.fromkeys(number for number in numbers if number is not None))


def _is_layer(module: nn.Module) -> bool:
    """Whether a module is shown as one operation: it holds no other, or is PyTorch's own, such as attention."""
    is_own = type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.Sequential)
    return is_own or not list(module.children())


def _of_one(made: Tensor) -> Tensor:
    """Return what a batch of one holds as [C, H, W] or [N], as it is now: a later layer may write upon it.

    Tokens [T, N] become maps of one row; of what has more dimensions, such as windows, the last two are a map.
    """
    one = (made[0] if made.dim() > 1 and len(made) == 1 else made).detach().float().clone()
    if one.dim() < 2:
        return one.reshape(-1)
    return one[:, None] if one.dim() == 2 else one.flatten(0, -3)


def _keep_gradient(node: Node, gradient: Tensor) -> None:
    node.gradient = _of_one(gradient).nan_to_num(0, 0, 0)  # of what is not finite nothing can be told


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in lists and tuples, in their order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


def _as_layer(function: Any, args: Any, kwargs: dict[str, Any], made: Tensor) -> nn.Module | None:
    """Return the layer that a function stands for, ``None`` where there is none."""
    if function in RESHAPING and made.dim() == 2 and len(made) == 1:
        return nn.Flatten()
    if function not in LAYERS:
        return None
    options = {key: value for key, value in kwargs.items() if key != "training" and not isinstance(value, Tensor)}
    return LAYERS[function](*args[1:], **options)
