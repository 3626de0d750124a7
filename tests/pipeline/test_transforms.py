"""Transforms of torchvision, by name."""

import pytest
import torch
from torchvision.transforms import v2

from cnncli.errors import ConfigError
from cnncli.pipeline.transforms import Transforms, names

PIXELS = torch.randint(0, 256, (3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_transform_is_torchvisions_under_its_seed() -> None:
    ours = Transforms([{"name": "ColorJitter", "brightness": 0.5, "hue": 0.1}, {"name": "RandomHorizontalFlip"}])
    before = torch.get_rng_state()
    for seed in (0, 7, 2**63 - 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            expected = v2.RandomHorizontalFlip()(v2.ColorJitter(brightness=0.5, hue=0.1)(PIXELS))
        assert torch.equal(ours(PIXELS, seed), expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_each_seed_draws_anew() -> None:
    ours = Transforms([{"name": "ColorJitter", "brightness": 0.9}])
    assert not torch.equal(ours(PIXELS, 1), ours(PIXELS, 2))
    assert torch.equal(ours(PIXELS, 1), ours(PIXELS, 1))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "Lambda", "lambd": "print"}, "'Lambda' is no transform"),
        ({"name": "Compose", "transforms": []}, "'Compose' is no transform"),
        ({"name": "functional"}, "'functional' is no transform"),
        ({"name": "torch"}, "'torch' is no transform"),
        ({"name": "InterpolationMode"}, "'InterpolationMode' is no transform"),
        ({"name": "__class__"}, "'__class__' is no transform"),
        ({}, "None is no transform"),
        ({"name": "RandomErasin"}, r"'RandomErasin' is no transform.*; did you mean RandomErasing"),
        ({"name": "RandomErasing", "q": 1}, "RandomErasing has no option q"),
        ({"name": "RandomErasing", "p": 2}, "RandomErasing: "),
        ({"name": "RandomErasing", "self": 2}, "RandomErasing has no option self"),
    ],
)
def test_nothing_else_can_be_named(spec: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Transforms([spec])


def test_every_name_is_a_transform_that_torchvision_documents() -> None:
    assert {"AutoAugment", "GaussianBlur", "RandAugment", "TrivialAugmentWide"} <= set(names())
    for name in names():
        assert issubclass(getattr(v2, name), v2.Transform)
        assert "Callable" not in str(getattr(v2, name).__init__.__annotations__), name


@pytest.mark.parametrize(
    "spec", [{"name": "RandomSolarize", "threshold": 300}, {"name": "RandomErasing", "value": [1, 2]}]
)
def test_one_that_fails_now_and_then_is_a_mistake_of_the_config(spec: dict[str, object]) -> None:
    """With the seeds that draw it; the others leave an image as it is."""
    transforms, failed = Transforms([{**spec, "p": 0.5}]), 0
    for seed in range(30):
        try:
            assert torch.equal(transforms(PIXELS, seed), PIXELS)
        except ConfigError as error:
            assert str(error).startswith(f"the transform {spec['name']} failed: ")  # noqa: PT017  # of some seeds
            failed += 1
    assert 0 < failed < 30


@pytest.mark.parametrize("spec", [{"name": "Resize", "size": [8, 8]}, {"name": "ToDtype", "dtype": "float32"}])
def test_size_and_type_must_stay(spec: dict[str, object]) -> None:
    with pytest.raises((ConfigError, ValueError, TypeError)):
        Transforms([spec])(PIXELS, 0)
