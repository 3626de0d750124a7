"""Which maps and neurons of a large network are shown: those that matter most for its answer."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from cnncli.analysis.operations import CHANNELWISE, Operation
from cnncli.analysis.trace import Node

Units = list[int] | None  # the numbers of those that are shown, ascending; None for all


def choose_units(traces: Sequence[Sequence[Node]], operations: Sequence[Operation], limit: int | None) -> list[Units]:
    """Return the units of each node that are shown, at most ``limit``, the same ones for all images.

    What an operation makes channel by channel has the units that it was given, so that it can be followed; so have
    both sides of an addition. Of the image and the logits all are shown.
    """
    return _Choice(traces, operations, limit).of_all()


def importance(node: Node) -> Tensor:
    """Return how much each unit of [C, ...] moved the answer: |Σ activation · gradient|, its first-order share."""
    share = node.output * node.gradient
    return share.reshape(len(share), -1).sum(1).abs()


class _Choice:
    """Groups of nodes that share their units, and what was decided of each."""

    def __init__(self, traces: Sequence[Sequence[Node]], operations: Sequence[Operation], limit: int | None) -> None:
        self.traces, self.operations, self.limit = traces, operations, limit
        self.nodes = traces[0]
        self.group = list(range(len(self.nodes)))
        for number, node in enumerate(self.nodes):
            if operations[number].kind in CHANNELWISE:
                for source in node.inputs:
                    if len(self.nodes[source].output) == len(node.output):
                        self._join(source, number)
        self.members: dict[int, list[int]] = defaultdict(list)
        for number in range(len(self.nodes)):
            self.members[self._root(number)].append(number)
        self.chosen: dict[int, Units] = {}

    def of_all(self) -> list[Units]:
        return [self._units(number) for number in range(len(self.nodes))]

    def _root(self, number: int) -> int:
        while self.group[number] != number:
            number = self.group[number]
        return number

    def _join(self, first: int, second: int) -> None:
        self.group[self._root(second)] = self._root(first)

    def _units(self, number: int) -> Units:
        root = self._root(number)
        if root not in self.chosen:
            self.chosen[root] = None  # while it is being decided, for what leads back to it
            self.chosen[root] = self._decide(self.members[root])
        return self.chosen[root]

    def _decide(self, members: list[int]) -> Units:
        num_units = len(self.nodes[members[0]].output)
        if self.limit is None or 0 in members or len(self.nodes) - 1 in members:
            return None
        for number in members:
            if self.operations[number].kind in ("flatten", "concatenate"):
                return self._joined(number)
        if num_units <= self.limit:
            return None
        scores = torch.stack([importance(nodes[number]) for nodes in self.traces for number in members]).sum(0)
        best = scores.argsort(descending=True, stable=True)[: self.limit]
        return sorted(best.tolist())

    def _joined(self, number: int) -> Units:
        """Return the units of what is laid one behind the other: the values of maps, or the maps of several nodes."""
        units: list[int] = []
        start, all_shown = 0, True
        for source in self.nodes[number].inputs:
            output, shown = self.nodes[source].output, self._units(source)
            size = output[0].numel() if self.operations[number].kind == "flatten" else 1
            all_shown = all_shown and shown is None
            for unit in range(len(output)) if shown is None else shown:
                units += range(start + unit * size, start + (unit + 1) * size)
            start += len(output) * size
        return None if all_shown else units
