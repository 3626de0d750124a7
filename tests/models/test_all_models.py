"""What holds for every registered model."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnncli.registry import LOSSES, MODELS

SMALL = {"alexnet": {"num_classes": 5}}  # 62 million parameters cost seconds; fewer classes do not change its kind


def built(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return MODELS.get(name)(**options)


@pytest.mark.parametrize("name", MODELS.names())
def test_it_has_the_parameters_that_it_states(name: str) -> None:
    with torch.device("meta"):
        model = built(name)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trainable == model.num_parameters
    assert f"{trainable:,} " in (model.__doc__ or "").splitlines()[0]


@pytest.mark.parametrize("name", MODELS.names())
def test_shapes_gradients_and_that_images_do_not_see_each_other(name: str) -> None:
    options = SMALL.get(name, {})
    model = built(name, **options)
    with torch.device("meta"):
        size = {"alexnet": (3, 227), "tinyvgg": (3, 64)}.get(name, (1, 28))
    images = torch.randn(2, size[0], size[1], size[1])
    logits = model(images)
    num_classes = options.get("num_classes", 10)
    assert logits.shape == (2, num_classes)
    loss = LOSSES.get(getattr(model, "losses", ("cross_entropy",))[0])()(logits, torch.tensor([0, 1]))
    loss.backward()
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            assert parameter.grad.abs().sum() > 0, key
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images)[:1], model(images[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS.names())
def test_sizes_are_derived_from_channels_side_and_classes(name: str) -> None:
    side = {"alexnet": 99, "tinyvgg": 40}.get(name, 36)
    with torch.device("meta"):
        model = built(name, in_channels=2, image_size=side, num_classes=7)
        assert model(torch.empty(3, 2, side, side)).shape == (3, 7)


@pytest.mark.parametrize("name", MODELS.names())
def test_too_small_an_image_names_the_layer_at_which_the_map_vanishes(name: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"the map vanishes at features\.\d+ \(\w+\)"):
        built(name, image_size=6 if name != "lenet5_1998" else 4)


def test_dropout_is_drawn_in_training_alone() -> None:
    with torch.device("meta"):
        model = built("alexnet", dropout=0.25)
    rates = [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)]
    assert rates == [0.25, 0.25]


def test_basic_cnn_equals_its_layers_written_out() -> None:
    model = built("basic_cnn")
    images = torch.randn(2, 1, 28, 28)
    p = dict(model.named_parameters())
    x = F.relu(F.max_pool2d(F.conv2d(images, p["features.0.weight"], p["features.0.bias"]), 2))
    x = F.relu(F.max_pool2d(F.conv2d(x, p["features.3.weight"], p["features.3.bias"]), 2))
    expected = F.linear(x.flatten(1), p["classifier.1.weight"], p["classifier.1.bias"])
    torch.testing.assert_close(model(images), expected)
