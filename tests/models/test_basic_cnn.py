"""The network of first tutorials."""

import torch
from torch.nn import functional as F

from cnncli.models.basic_cnn import BasicCNN
from tests.models.maps import maps, on_meta


def test_sizes_that_are_promised() -> None:
    """Conv 5×5 10, pool, ReLU, conv 5×5 20, pool, ReLU, 320 to 10."""
    kinds = ("Conv2d", "MaxPool2d", "Flatten", "Linear")
    assert maps(on_meta("basic_cnn"), 1, 28, 28, kinds=kinds) == [
        *((10, 24, 24), (10, 12, 12), (20, 8, 8), (20, 4, 4)),
        *((320,), (10,)),
    ]


def test_it_equals_its_layers_written_out() -> None:
    torch.manual_seed(0)
    model, images = BasicCNN(), torch.randn(2, 1, 28, 28)
    p = dict(model.named_parameters())
    x = F.relu(F.max_pool2d(F.conv2d(images, p["features.0.weight"], p["features.0.bias"]), 2))
    x = F.relu(F.max_pool2d(F.conv2d(x, p["features.3.weight"], p["features.3.bias"]), 2))
    expected = F.linear(x.flatten(1), p["classifier.1.weight"], p["classifier.1.bias"])
    torch.testing.assert_close(model(images), expected)
