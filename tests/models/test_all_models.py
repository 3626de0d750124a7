"""What holds for every registered model: its options, and so its sizes, are read from its signature."""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnncli.config.validation import validate_options
from cnncli.errors import ConfigError
from cnncli.registry import LOSSES, MODELS
from tests.models.maps import leaves, on_meta

every_model = pytest.mark.parametrize("name", MODELS.names())


def default(name: str, option: str) -> Any:
    return inspect.signature(MODELS.get(name)).parameters[option].default


def built(name: str, seed: int = 0) -> nn.Module:
    """Build a model for at most ten classes: a thousand cost memory and show no more."""
    torch.manual_seed(seed)
    return MODELS.get(name)(num_classes=min(default(name, "num_classes"), 10))


def images_for(name: str, count: int = 2) -> Tensor:
    side = default(name, "image_size")
    return torch.randn(count, default(name, "in_channels"), side, side, generator=torch.Generator().manual_seed(1))


def criterion_of(model: nn.Module) -> nn.Module:
    criterion: nn.Module = LOSSES.get(getattr(model, "losses", ("cross_entropy",))[0])()
    return criterion


@every_model
def test_it_has_the_trainable_parameters_that_it_states(name: str) -> None:
    model = on_meta(name)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trainable == model.num_parameters
    assert f"{trainable:,} " in (model.__doc__ or "").splitlines()[0]


@every_model
def test_its_losses_are_registered(name: str) -> None:
    assert set(getattr(MODELS.get(name), "losses", ("cross_entropy",))) <= set(LOSSES.names())


@every_model
def test_a_step_gives_each_trainable_parameter_a_finite_gradient_and_fixed_ones_none(name: str) -> None:
    model = built(name)
    logits = model(images_for(name))
    assert logits.shape == (2, 10)
    criterion_of(model)(logits, torch.tensor([0, 1])).backward()
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            assert parameter.grad.any(), key
        else:
            assert parameter.grad is None, key


@every_model
def test_a_seed_decides_the_first_weights_and_images_do_not_see_each_other(name: str) -> None:
    images = images_for(name)
    with torch.no_grad():
        model = built(name).eval()
        logits = model(images)
        torch.testing.assert_close(model(images[1:]), logits[1:], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(logits[0], logits[1])
        torch.testing.assert_close(built(name).eval()(images), logits, rtol=0, atol=0)
        assert not torch.allclose(built(name, seed=1).eval()(images), logits)


@every_model
def test_sizes_are_derived_from_channels_side_and_classes(name: str) -> None:
    side = default(name, "image_size") * 3 // 2
    model = on_meta(name, in_channels=2, image_size=side, num_classes=7)
    assert model(torch.empty(3, 2, side, side, device="meta")).shape == (3, 7)


@every_model
def test_channels_last_changes_no_logits(name: str) -> None:
    """The default layout on a CPU; other kernels round differently, so not to the bit."""
    model, images = built(name).eval(), images_for(name, 1)
    with torch.no_grad():
        expected = model(images)
        moved = model.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-4)


@every_model
def test_too_small_an_image_is_refused_with_the_layer_at_which_pytorch_fails(name: str) -> None:
    """For every side below the default, PyTorch's own shape checks say whether and where the map vanishes."""
    model, (channels, largest) = on_meta(name), (default(name, "in_channels"), default(name, "image_size"))
    reached = ""
    for leaf, layer in leaves(model).items():

        def note(layer: nn.Module, inputs: Any, leaf: str = leaf) -> None:
            nonlocal reached
            reached = f"{leaf} ({type(layer).__name__})"

        layer.register_forward_pre_hook(note)
    refused = 0
    for side in range(1, largest):
        image = torch.empty(1, channels, side, side, device="meta")
        try:
            model(image)
            vanishes = False
        except RuntimeError:
            vanishes = "Linear" not in reached  # whose width is that of another side
        if vanishes:
            refused += 1
            with pytest.raises(ValueError, match="the map vanishes at") as raised:
                on_meta(name, image_size=side)
            assert reached in str(raised.value)
        else:
            assert on_meta(name, image_size=side)(image).dim() == 2
    assert refused


@every_model
@pytest.mark.parametrize("option", ["num_classes", "in_channels", "image_size"])
def test_sizes_have_bounds(name: str, option: str) -> None:
    for wrong in (0, -1, 10**9, 1.5, True):
        with pytest.raises(ConfigError, match=f"model.{option}: must be"):
            validate_options("model", name, {option: wrong})
