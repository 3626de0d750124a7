"""Which units are shown: those of the largest importance, the same wherever maps follow from one another."""

import torch
from torch import Tensor, nn

from cnncli.analysis.operations import operation_of
from cnncli.analysis.trace import Node, trace
from cnncli.analysis.units import Units, choose_units, importance


def chosen(model: nn.Module, limit: int | None, num_images: int = 1) -> tuple[list[list[Node]], dict[str, Units]]:
    """Return the traces of images, and what is shown of each node by its operation and number."""
    torch.manual_seed(0)
    traces = [trace(model.eval(), torch.randn(1, 2, 8, 8)) for _ in range(num_images)]
    nodes = traces[0]
    operations = [operation_of(node, [nodes[source].output for source in node.inputs]) for node in nodes]
    units = choose_units(traces, operations, limit)
    names = [f"{node.operation}{number}" for number, node in enumerate(nodes)]
    return traces, dict(zip(names, units, strict=True))


def test_a_unit_matters_by_its_activation_times_gradient() -> None:
    """Of a linear network that is its part of the answer: weight times value."""
    torch.manual_seed(0)
    last = nn.Linear(6, 3, bias=False)
    nodes = trace(nn.Sequential(nn.Flatten(), last), torch.randn(1, 1, 2, 3))
    parts = last.weight[nodes[-1].output.argmax()] * nodes[1].output
    torch.testing.assert_close(importance(nodes[1]), parts.abs().detach())
    torch.testing.assert_close(importance(nodes[0]), parts.sum()[None].abs().detach())


def test_maps_that_follow_from_one_another_are_the_same_ones() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(2, 9, 3), nn.BatchNorm2d(9), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(), nn.Linear(81, 20), nn.ReLU(), nn.Linear(20, 5)),
    )
    (nodes,), units = chosen(model, 4)
    maps = units["Conv2d1"]
    assert maps is not None
    assert len(maps) == 4
    assert maps == sorted(maps) == units["BatchNorm2d2"] == units["ReLU3"] == units["MaxPool2d4"]
    scores = torch.stack([importance(node) for node in nodes[1:5]]).sum(0)
    assert set(maps) == set(scores.topk(4).indices.tolist())
    assert units["Flatten5"] == units["Dropout6"] == [unit * 9 + place for unit in maps for place in range(9)]
    assert units["Linear7"] == units["ReLU8"]
    assert (len(units["Linear7"] or []), units["Linear9"], units["Input0"]) == (4, None, None)


def test_all_are_shown_where_there_are_no_more() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3))
    for limit in (None, 4, 400):
        assert set(map(str, chosen(model, limit)[1].values())) == {"None"}
    assert chosen(model, 3)[1]["Conv2d1"] is not None


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 6, 1), nn.Conv2d(6, 3, 1)
        self.last = nn.Linear(9 * 64, 4)

    def forward(self, images: Tensor) -> Tensor:
        a = self.a(images)
        b = self.b(a.relu())
        joined = torch.cat([a + b, self.c(b)], 1)
        return self.last(joined.flatten(1))


def test_both_sides_of_an_addition_are_the_same_and_a_concatenation_has_those_of_its_parts() -> None:
    units = chosen(Branches(), 2)[1]
    assert units["Conv2d1"] == units["ReLU2"] == units["Conv2d3"] == units["add4"]
    third = units["Conv2d5"]
    assert third is not None
    assert units["cat6"] == [*(units["add4"] or []), *(6 + unit for unit in third)]
    units = chosen(Branches(), 3)[1]
    assert units["Conv2d5"] is None  # it has three
    assert (units["cat6"] or [])[3:] == [6, 7, 8]


def test_several_images_share_their_units() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 30, 3), nn.ReLU(), nn.Flatten(), nn.Linear(30 * 36, 5))
    traces, units = chosen(model, 5, num_images=3)
    scores = sum(importance(node) for nodes in traces for node in nodes[1:3])
    assert isinstance(scores, Tensor)
    assert set(units["Conv2d1"] or []) == set(scores.topk(5).indices.tolist())


def test_what_follows_from_the_image_alone_is_shown_whole() -> None:
    units = chosen(nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(256, 3)), 1)[1]
    assert units["ZeroPad2d1"] is None
    assert len(units["Conv2d2"] or []) == 1
