"""LeNet-5 as trained today."""

import pytest
import torch
from torch.nn import functional as F

from cnncli.models.lenet5 import LeNet5


def test_the_valid_variant_has_the_sizes_of_the_tutorial() -> None:
    """24, 12, 8, 4, 256 to 120 to 84 to 10, and 44,426 parameters: the issue's table."""
    model = LeNet5(padding=0, pool="avg")
    sides, x = [], torch.zeros(1, 1, 28, 28)
    for index in (0, 2, 3, 5):
        layers = model.features[: index + 1]
        sides.append(layers(x).shape[-1])
    assert sides == [24, 12, 8, 4]
    assert [model.classifier[index].in_features for index in (1, 3, 5)] == [256, 120, 84]
    assert sum(parameter.numel() for parameter in model.parameters()) == 44_426


@pytest.mark.parametrize("pool", ["max", "avg"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("padding", [0, 2])
def test_it_equals_its_layers_written_out(padding: int, pool: str, activation: str) -> None:
    torch.manual_seed(0)
    model = LeNet5(padding=padding, pool=pool, activation=activation)
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
