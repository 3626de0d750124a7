"""What a page needs to show a forward pass with every number: the network's nodes, and the values of each image.

The results of convolutions and dense layers are kept; what follows from them by rules without weights is not, and the
page computes it. Of a large network some units are shown, and what the others add to a sum is kept as one term.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.analysis.grad_cam import grad_cam
from cnncli.analysis.operations import OTHER, STORED, Operation, apply, operation_of, squares_of_neighbours
from cnncli.analysis.summary import size_formula
from cnncli.analysis.trace import Node, trace
from cnncli.analysis.units import Units, choose_units
from cnncli.text import one_line

SMALL = 1_000_000  # bytes of weights up to which a page holds all of a network, and computes it anew when edited
FEW_UNITS = 12  # shown of each layer of a larger one
THUMBNAIL = 24  # pixels a side at most of a map that is only on the contact sheet
NUM_CHECKS = 32  # numbers that the page compares with its own, of a result that it computes
TOLERANCE = 1e-5  # of a result computed anew, relative to the largest value
STEMS = {
    "convolution": "conv",
    "adaptive": "pool",
    "multiply": "mul",
    "concatenate": "cat",
}  # of names in the page, where they are not the operation's kind
UNNUMBERED = ("input", "flatten", "softmax")  # the first one of each


@dataclass(frozen=True)
class Part:
    """A node of the network as the page shows it."""

    id: str  # unique, such as conv1
    name: str  # of the module
    layer: str  # the class of the module, or the function
    operation: Operation  # with the weights of the units that are shown
    inputs: tuple[int, ...]
    shape: list[int]  # of the whole result: [C, H, W] or [N]
    units: Units
    formula: str  # of its size


@dataclass(frozen=True)
class View:
    """One image on its way; results by the number of the node."""

    name: str
    label: int | None
    outputs: dict[int, Tensor]  # of the units shown, of nodes that are kept
    others: dict[int, Tensor]  # what units that are not shown add to the results of those that are
    sheets: dict[int, Tensor]  # of nodes that are shown in part: thumbnails of all units, [C, h, w]
    checks: dict[int, list[tuple[int, float]]]  # of nodes that are not kept: some numbers of the units shown, by place
    cam: Tensor | None = None  # [h, w], from 0 to 1


@dataclass(frozen=True)
class Explanation:
    """A network, and images on their way through it."""

    parts: list[Part]
    views: list[View]
    is_editable: bool  # whether the page can compute all of it anew
    num_weights: int

    @property
    def left_out(self) -> dict[str, int]:
        """How many units of each part are not shown, of those that are shown in part."""
        return {part.id: part.shape[0] - len(part.units) for part in self.parts if part.units is not None}


def explain(
    model: nn.Module,
    images: Tensor,
    names: Sequence[str],
    labels: Sequence[int | None],
    units: int | None = None,
    cam: bool = False,
) -> Explanation:
    """Follow images [B, C, H, W] through ``model``, ready to evaluate; at most ``units`` of each layer are shown.

    By default all are shown of a network whose weights take at most 1 MB, and 12 of larger ones. Raises ``ValueError``
    where the network gives no logits or no numbers, or where not all images take the same way.
    """
    traces = [trace(model, image[None]) for image in images]
    _check(traces, names)
    nodes = traces[0]
    num_weights = sum(parameter.numel() for parameter in model.parameters())
    is_small = num_weights * 4 <= SMALL
    if units is None and not is_small:
        units = FEW_UNITS
    operations = [operation_of(node, [nodes[source].output for source in node.inputs]) for node in nodes]
    shown = choose_units(traces, operations, units)
    operations = [
        operation if operation.kind in STORED or _follows(operation, number, traces, shown) else OTHER
        for number, operation in enumerate(operations)
    ]
    parts = _parts(nodes, operations, shown)
    views = [
        _view(nodes, operations, shown, name, label, grad_cam(nodes) if cam else None)
        for nodes, name, label in zip(traces, names, labels, strict=True)
    ]
    is_editable = is_small and all(part.units is None for part in parts) and OTHER not in operations
    return Explanation(parts, views, is_editable, num_weights)


def results(explanation: Explanation, view: View) -> list[Tensor]:
    """Return the results of all nodes for the units shown: those kept, and the others computed as the page does."""
    values: list[Tensor] = []
    for number, part in enumerate(explanation.parts):
        if number in view.outputs:
            values.append(view.outputs[number])
        else:
            inputs = [values[source] for source in part.inputs]
            values.append(apply(part.operation, inputs, view.others.get(number)))
    return values


def _check(traces: Sequence[Sequence[Node]], names: Sequence[str]) -> None:
    """Raise ``ValueError`` for an answer that is no number, and for images that take different ways."""
    for nodes, name in zip(traces, names, strict=True):
        if not nodes[-1].output.softmax(0).isfinite().all():
            first = next(node for node in nodes if not node.output.isfinite().all())
            where = one_line(f"{first.name} ({first.operation})".strip())
            raise ValueError(f"the answer for {one_line(name)} is not a number, and {where} is where that begins")
    ways = {tuple((node.name, node.operation, node.inputs, node.output.shape) for node in nodes) for nodes in traces}
    if len(ways) > 1:
        raise ValueError("images take different ways through this network: explain them one by one")


def _taken(values: Tensor, units: Units) -> Tensor:
    return values if units is None else values[units]


def _without(values: Tensor, units: list[int]) -> Tensor:
    """Return values with those of the units shown replaced by zeros."""
    rest = values.clone()
    rest[units] = 0
    return rest


def _follows(operation: Operation, number: int, traces: Sequence[Sequence[Node]], shown: list[Units]) -> bool:
    """Whether what is shown of a result can be computed from what is shown of its inputs."""
    kept = _of_units(operation, None, shown[number])
    for nodes in traces:
        inputs = [_taken(nodes[source].output, shown[source]) for source in nodes[number].inputs]
        wanted = _taken(nodes[number].output, shown[number])
        try:
            result = apply(kept, inputs, _others(operation, number, nodes, shown))
        except (RuntimeError, TypeError):  # sizes that do not go together
            return False
        if result.shape != wanted.shape or (result - wanted).abs().max() > TOLERANCE * (1 + wanted.abs().max()):
            return False
    return True


def _parts(nodes: Sequence[Node], operations: Sequence[Operation], shown: list[Units]) -> list[Part]:
    counts: Counter[str] = Counter()
    parts = []
    for node, operation, units in zip(nodes, operations, shown, strict=True):
        given = shown[node.inputs[0]] if node.inputs else None
        parts.append(
            Part(
                _id(operation, node.operation, counts),
                node.name,
                node.operation,
                _of_units(operation, given, units),
                node.inputs,
                list(node.output.shape),
                units,
                _formula(operation, node, nodes),
            )
        )
    logits = len(parts) - 1
    softmax = Operation("softmax")
    parts.append(Part(_id(softmax, "", counts), "", "Softmax", softmax, (logits,), parts[logits].shape, None, ""))
    return parts


def _id(operation: Operation, layer: str, counts: Counter[str]) -> str:
    kind = operation.kind
    named = {"other": layer.lower(), "identity": layer.lower(), "activation": operation.options.get("function", "")}
    stem = re.sub(r"[0-9]d?|[^a-z_]", "", named.get(kind, STEMS.get(kind, kind))) or "layer"  # conv of Conv2d
    counts[stem] += 1
    return stem if stem in UNNUMBERED and counts[stem] == 1 else f"{stem}{counts[stem]}"


def _formula(operation: Operation, node: Node, nodes: Sequence[Node]) -> str:
    if node.layer is None or operation is OTHER:
        return ""
    return size_formula(node.layer, list(nodes[node.inputs[0]].output.shape), list(node.output.shape))


def _of_units(operation: Operation, given: Units, units: Units) -> Operation:
    """Return an operation with the weights that lead from the units ``given`` to those shown."""
    tensors = operation.tensors
    if operation.kind == "convolution":
        return _convolution_of_units(operation, given, units)
    if operation.kind in ("dense", "rbf"):
        weight = _taken(tensors["weight"], units)
        rest = {name: _taken(value, units) for name, value in tensors.items() if name != "weight"}
        return Operation(operation.kind, {}, {"weight": weight if given is None else weight[:, given], **rest})
    return Operation(operation.kind, operation.options, {name: _taken(t, units) for name, t in tensors.items()})


def _convolution_of_units(operation: Operation, given: Units, units: Units) -> Operation:
    sources: list[list[int]] = operation.options["sources"]
    is_given = set(given) if given is not None else None
    kept_sources, num_sources, kept_kernels, start = [], [], [], 0
    wanted = set(range(len(sources)) if units is None else units)
    for unit, channels in enumerate(sources):
        if unit in wanted:
            places = [place for place, channel in enumerate(channels) if is_given is None or channel in is_given]
            kept_sources.append([channels[place] for place in places])
            num_sources.append(len(channels))
            kept_kernels += [start + place for place in places]
        start += len(channels)
    weight, bias = operation.tensors["weight"][kept_kernels], _taken(operation.tensors["bias"], units)
    options = {**operation.options, "sources": kept_sources, "num_sources": num_sources}
    return Operation("convolution", options, {"weight": weight, "bias": bias})


def _others(operation: Operation, number: int, nodes: Sequence[Node], shown: list[Units]) -> Tensor | None:
    """Return what channels that are not shown add to what is shown of a result; ``None`` where all are shown."""
    node = nodes[number]
    given = shown[node.inputs[0]] if node.inputs else None
    if given is None or operation.kind not in ("convolution", "dense", "rbf", "lrn"):
        return None
    source, units = nodes[node.inputs[0]].output, shown[number]
    if operation.kind == "lrn":
        return _taken(squares_of_neighbours(source, operation.options["size"]), units)
    if operation.kind == "rbf":
        distances = (source - _taken(operation.tensors["weight"], units)).square()
        return -_without(distances.T, given).sum(0)
    assert node.layer is not None
    with torch.no_grad():
        sums = node.layer(_without(source, given)[None])[0]
    bias = operation.tensors["bias"]
    return _taken(sums - (bias[:, None, None] if sums.dim() == 3 else bias), units)


def _view(
    nodes: Sequence[Node],
    operations: Sequence[Operation],
    shown: list[Units],
    name: str,
    label: int | None,
    cam: Tensor | None,
) -> View:
    outputs, others, sheets, checks = {}, {}, {}, {}
    for number, (node, operation, units) in enumerate(zip(nodes, operations, shown, strict=True)):
        if operation.kind in STORED:
            outputs[number] = _taken(node.output, units)
        else:
            checks[number] = _spread(_taken(node.output, units))
        if (rest := _others(operation, number, nodes, shown)) is not None:
            others[number] = rest
        if units is not None:
            sheets[number] = _thumbnails(node.output)
    checks[len(nodes)] = _spread(nodes[-1].output.softmax(0))
    return View(name, label, outputs, others, sheets, checks, cam)


def _spread(values: Tensor) -> list[tuple[int, float]]:
    """Return numbers of a result with their places, from its first to its last; finite ones, as JSON has no others."""
    flat = values.flatten()
    finite = flat.isfinite().nonzero().squeeze(1)
    places = finite[torch.linspace(0, len(finite) - 1, min(len(finite), NUM_CHECKS)).long()]
    return list(zip(places.tolist(), flat[places].tolist(), strict=True))


def _thumbnails(values: Tensor) -> Tensor:
    """Return all units of [C, ...] as small maps [C, h, w]."""
    maps = values if values.dim() == 3 else values.reshape(len(values), 1, -1)
    height, width = (min(side, THUMBNAIL) for side in maps.shape[1:])
    return F.adaptive_avg_pool2d(maps, (height, width))
