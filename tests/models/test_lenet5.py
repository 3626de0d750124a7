"""LeNet-5 as trained today."""

import pytest
import torch
from torch.nn import functional as F

from cnncli.models.lenet5 import LeNet5
from tests.models.maps import maps, on_meta

KINDS = ("Conv2d", "MaxPool2d", "AvgPool2d", "Linear")


def test_sizes_with_padding() -> None:
    """C1 6@28×28, S2 6@14×14, C3 16@10×10, S4 16@5×5, 120, 84, 10: figure 2 of the paper."""
    assert maps(on_meta("lenet5"), 1, 28, 28, kinds=KINDS) == [
        *((6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)),
        *((120,), (84,), (10,)),
    ]


def test_the_valid_variant_has_the_sizes_of_the_tutorial() -> None:
    """24, 12, 8, 4, 256 to 120 to 84 to 10, and 44,426 parameters."""
    model = on_meta("lenet5", padding=0, pool="avg")
    assert maps(model, 1, 28, 28, kinds=(*KINDS, "Flatten")) == [
        *((6, 24, 24), (6, 12, 12), (16, 8, 8), (16, 4, 4)),
        *((256,), (120,), (84,), (10,)),
    ]
    assert sum(parameter.numel() for parameter in model.parameters()) == 44_426


@pytest.mark.parametrize("pool", ["max", "avg"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("padding", [0, 2])
def test_it_equals_its_layers_written_out(padding: int, pool: str, activation: str) -> None:
    torch.manual_seed(0)
    model = LeNet5(padding=padding, pool=pool, activation=activation)  # type: ignore[arg-type]
    p = dict(model.named_parameters())
    act = {"relu": F.relu, "tanh": torch.tanh}[activation]
    pooled = {"max": F.max_pool2d, "avg": F.avg_pool2d}[pool]
    images = torch.randn(2, 1, 28, 28)
    x = pooled(act(F.conv2d(images, p["features.0.weight"], p["features.0.bias"], padding=padding)), 2)
    x = pooled(act(F.conv2d(x, p["features.3.weight"], p["features.3.bias"])), 2).flatten(1)
    for index in (1, 3, 5):
        x = F.linear(x, p[f"classifier.{index}.weight"], p[f"classifier.{index}.bias"])
        x = act(x) if index < 5 else x
    torch.testing.assert_close(model(images), x)
