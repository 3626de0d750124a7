"""The graph of a forward pass: who was given what, what they made, and gradients against torch.autograd.grad."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.analysis.trace import Node, trace


class Net(nn.Module):
    """A network whose way is a function of its layers and the images."""

    def __init__(self, forward: Callable[["Net", Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._forward = forward

    def forward(self, images: Tensor) -> Tensor:
        return self._forward(self, images)


def followed(forward: Callable[..., Tensor], size: tuple[int, ...] = (2, 6, 6), **layers: nn.Module) -> list[Node]:
    torch.manual_seed(0)
    return trace(Net(forward, **layers).eval(), torch.randn(1, *size))


def graph(nodes: list[Node]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(node.name, node.operation, node.inputs) for node in nodes]


def test_a_chain_of_layers_and_functions() -> None:
    nodes = followed(
        lambda net, x: net.last(torch.flatten(F.max_pool2d(F.relu(net.conv(x)), 2), 1)),
        conv=nn.Conv2d(2, 3, 3),
        last=nn.Linear(12, 4),
    )
    assert graph(nodes) == [
        ("", "Input", ()),
        ("conv", "Conv2d", (0,)),
        ("", "ReLU", (1,)),
        ("", "MaxPool2d", (2,)),
        ("", "Flatten", (3,)),
        ("last", "Linear", (4,)),
    ]
    assert [tuple(node.output.shape) for node in nodes] == [(2, 6, 6), (3, 4, 4), (3, 4, 4), (3, 2, 2), (12,), (4,)]


def test_branches_meet() -> None:
    nodes = followed(
        lambda net, x: torch.cat([net.one(x), net.two(x) + x], 1).mean((2, 3)), one=nn.Tanh(), two=nn.Sigmoid()
    )
    assert graph(nodes)[1:] == [
        ("one", "Tanh", (0,)),
        ("two", "Sigmoid", (0,)),
        ("", "add", (2, 0)),
        ("", "cat", (1, 3)),
        ("", "mean", (4,)),
    ]


def test_what_leads_nowhere_is_left_out() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        net.auxiliary(x.flatten(1))
        return net.head(x.flatten(1))

    nodes = followed(forward, auxiliary=nn.Linear(72, 3), head=nn.Linear(72, 4))
    assert graph(nodes) == [("", "Input", ()), ("", "Flatten", (0,)), ("head", "Linear", (1,))]


def test_a_layer_that_is_called_twice_is_there_twice() -> None:
    nodes = followed(lambda net, x: net.conv(net.conv(x)).flatten(1), conv=nn.Conv2d(2, 2, 3))
    assert graph(nodes)[1:3] == [("conv", "Conv2d", (0,)), ("conv", "Conv2d", (1,))]


def test_the_way_may_hang_on_the_numbers() -> None:
    model = Net(lambda net, x: (net.a(x) if x.sum() > 0 else net.b(x)).flatten(1), a=nn.Tanh(), b=nn.Sigmoid())
    image = torch.ones(1, 1, 2, 2)
    assert [node.operation for node in trace(model, image)] == ["Input", "Tanh", "Flatten"]
    assert [node.operation for node in trace(model, -image)] == ["Input", "Sigmoid", "Flatten"]


def test_layers_that_write_upon_their_input_do_not_change_what_was_recorded() -> None:
    layers = {"conv": nn.Conv2d(2, 2, 3), "relu": nn.ReLU(inplace=True)}
    nodes = followed(lambda net, x: net.relu(net.conv(net.relu(x))).flatten(1), **layers)
    assert graph(nodes)[1:4] == [("relu", "ReLU", (0,)), ("conv", "Conv2d", (1,)), ("relu", "ReLU", (2,))]
    for before, after in ((0, 1), (2, 3)):
        assert nodes[before].output.min() < 0
        assert torch.equal(nodes[before].output.relu(), nodes[after].output)
        assert torch.equal(nodes[before].gradient, nodes[after].gradient * (nodes[before].output > 0))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_those_of_autograd(inplace: bool, frozen: bool) -> None:
    """Of the largest logit, worked out by hand from the same layers, none of which writes upon its input."""
    torch.manual_seed(0)
    conv, bn, last = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Linear(108, 5)
    model = Net(
        lambda net, x: net.last((net.relu(net.bn(net.conv(x))) + 1).flatten(1)),
        **{"conv": conv, "bn": bn, "relu": nn.ReLU(inplace), "last": last},
    )
    model.eval().requires_grad_(not frozen)
    image = torch.randn(1, 2, 6, 6)
    with torch.no_grad():  # a caller's
        nodes = trace(model, image)
    values = [image.clone().requires_grad_()]
    for step in (conv, bn, F.relu, lambda x: x + 1, lambda x: x.flatten(1), last):
        values.append(step(values[-1]))
    wanted = torch.autograd.grad(values[-1].max(), values)
    for node, value, gradient in zip(nodes, values, wanted, strict=True):
        torch.testing.assert_close(node.output, value[0].detach())
        torch.testing.assert_close(node.gradient, gradient[0])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad is not frozen for parameter in model.parameters())
    assert image.grad is None


def test_hooks_are_gone_afterwards() -> None:
    model = Net(lambda net, x: net.last(x.flatten(1)), last=nn.Linear(4, 2))
    trace(model, torch.ones(1, 1, 2, 2))
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "relu": (F.relu, "ReLU()"),
    "relu in place": (lambda x: F.relu(x, inplace=True), "ReLU(inplace=True)"),
    "torch.relu": (torch.relu, "ReLU()"),
    "Tensor.relu": (lambda x: x.relu(), "ReLU()"),
    "tanh": (torch.tanh, "Tanh()"),
    "Tensor.tanh": (lambda x: x.tanh(), "Tanh()"),
    "sigmoid": (torch.sigmoid, "Sigmoid()"),
    "Tensor.sigmoid": (lambda x: x.sigmoid(), "Sigmoid()"),
    "max_pool2d": (
        lambda x: F.max_pool2d(x, 3, 2, 1, 1, True),
        "MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=True)",
    ),
    "avg_pool2d": (
        lambda x: F.avg_pool2d(input=x, kernel_size=2, padding=1),
        "AvgPool2d(kernel_size=2, stride=2, padding=1)",
    ),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), "AdaptiveAvgPool2d(output_size=(2, 3))"),
    "dropout": (lambda x: F.dropout(x, 0.3, training=False), "Dropout(p=0.3, inplace=False)"),
    "flatten": (lambda x: torch.flatten(x, 1), "Flatten(start_dim=1, end_dim=-1)"),
    "Tensor.flatten": (lambda x: x.flatten(1), "Flatten(start_dim=1, end_dim=-1)"),
    "view": (lambda x: x.view(len(x), -1), "Flatten(start_dim=1, end_dim=-1)"),
    "reshape": (lambda x: torch.reshape(x, (1, -1)), "Flatten(start_dim=1, end_dim=-1)"),
    "Tensor.reshape": (lambda x: x.reshape(1, -1), "Flatten(start_dim=1, end_dim=-1)"),
    "view of maps": (lambda x: x.view(1, 1, 4, -1), "None"),
    "exp": (torch.exp, "None"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_stand_for_layers(name: str) -> None:
    function, layer = FUNCTIONS[name]
    nodes = followed(lambda net, x: net.last(function(x)), last=nn.Sequential(nn.Flatten(), nn.LazyLinear(2)))
    assert str(nodes[1].layer) == layer
    if nodes[1].layer is not None:
        made = nodes[1].layer.eval()(nodes[0].output[None].clone())
        torch.testing.assert_close(nodes[1].output, made[0])


def test_layers_with_layers_in_them_and_named_arguments() -> None:
    nodes = followed(
        lambda net, x: net.attention(query=x.flatten(2), key=x.flatten(2), value=x.flatten(2))[0].mean(1),
        attention=nn.MultiheadAttention(36, 2, batch_first=True),
    )
    assert [node.operation for node in nodes[4:]] == ["MultiheadAttention", "mean"]
    assert nodes[4].inputs == (1, 2, 3)
    assert nodes[4].output.shape == (2, 1, 36)


def test_each_tensor_that_is_made_is_a_node() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        one, two = x.chunk(2, 1)
        return (two - one * 3).flatten(1)

    nodes = followed(forward)
    assert [(node.operation, node.inputs) for node in nodes[1:5]] == [
        *(("chunk", (0,)), ("chunk", (0,)), ("mul", (1,)), ("sub", (2, 3))),
    ]
    assert torch.equal(torch.cat([nodes[1].output, nodes[2].output]), nodes[0].output)
    assert torch.equal(nodes[1].gradient, nodes[2].gradient * -3)


def test_a_function_has_the_name_of_the_module_around_it() -> None:
    nodes = followed(lambda net, x: net.block(x).flatten(1), block=Net(lambda net, x: torch.exp(net.a(x)), a=nn.ReLU()))
    assert graph(nodes)[1:3] == [("block.a", "ReLU", (0,)), ("block", "exp", (1,))]


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (lambda x: x.sum(), (1,)),
        (lambda x: x.sum((0, 2, 3)), (2, 1, 1)),  # two rows, maybe tokens
        (lambda x: x.view(4, 1, 6, 3), (4, 6, 3)),  # windows
        (lambda x: x.view(1, 2, 2, 3, 6), (4, 3, 6)),
        (lambda x: x.flatten(2), (2, 1, 36)),
    ],
)
def test_everything_is_maps_or_a_vector(made: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        value = made(x)
        value = value[:, None] if value.dim() == 1 else value
        return value.reshape(1, -1)

    nodes = followed(forward)
    assert (1, *shape)[1:] in {tuple(node.output.shape) for node in nodes}
    assert all(node.output.dim() in (1, 3) and node.gradient.shape == node.output.shape for node in nodes)


def test_a_gradient_that_is_no_number_counts_as_none() -> None:
    """Of √0 the derivative is infinite."""
    nodes = trace(Net(lambda net, x: torch.sqrt(x).flatten(1)), torch.tensor([[[[0.0, 4.0]]]]))
    assert nodes[0].gradient.flatten().tolist() == [0, 0.25]
    assert trace(Net(lambda net, x: torch.sqrt(x).flatten(1)), torch.zeros(1, 1, 1, 2))[0].gradient.sum() == 0


def test_without_gradients_all_else_is_there() -> None:
    nodes = followed(lambda net, x: net.last(x.detach().flatten(1)), last=nn.Linear(72, 3).requires_grad_(False))
    assert [node.gradient.abs().sum().item() for node in nodes] == [0, 0, 0, 0]


@pytest.mark.parametrize("forward", [lambda net, x: x, lambda net, x: torch.ones(1, 3), lambda net, x: (x.flatten(1),)])
def test_a_network_without_logits_is_refused(forward: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="does not end in one number a class"):
        followed(forward)


def test_what_is_written_into_a_part_of_a_tensor_is_followed() -> None:
    class Masking(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            maps = images * 1
            maps[:, 0] = 0
            return maps.flatten(1)

    image = torch.ones(1, 2, 2, 2)
    nodes = trace(Masking(), image)
    assert [node.operation for node in nodes] == ["Input", "mul", "setitem", "Flatten"]
    assert nodes[2].output[0].abs().sum() == 0
    assert nodes[3].inputs == (2,)
