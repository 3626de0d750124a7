"""The drawn shapes: what they are, that they repeat, and that they are no trifle."""

import pytest
import torch
from torch import nn

from cnncli.datasets import Split, SplitName
from cnncli.datasets.shapes import OUTLINES, Shapes, distances


@pytest.mark.parametrize(("split", "count"), [("train", 10_000), ("test", 2_000)])
def test_splits_are_balanced_and_full(split: SplitName, count: int) -> None:
    """Size 16 for speed alone."""
    loaded = Shapes(size=16).load(split)
    assert loaded.images.shape == (count, 3, 16, 16)
    assert (loaded.images.dtype, loaded.labels.dtype) == (torch.uint8, torch.int64)
    assert loaded.labels.bincount().tolist() == [count // 10] * 10
    assert len(Shapes.classes) == 10


@pytest.mark.parametrize("size", [16, 64, 101, 512])
def test_size_is_honoured(size: int) -> None:
    source = Shapes(size=size)
    assert source.image_size == size
    assert source.load("test", limit=1).images.shape == (10, 3, size, size)


@pytest.mark.parametrize("size", [64, 101])
def test_images_do_not_depend_on_the_number_of_threads(size: int) -> None:
    drawn = []
    for num_threads in (1, 2, 3):
        torch.set_num_threads(num_threads)
        drawn.append(Shapes(size=size).load("train", limit=8).images)
        assert torch.get_num_threads() == num_threads  # as it was
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_a_limit_draws_the_first_images(limit: int) -> None:
    """Three images of each class end inside a chunk of 20, one and eight inside and at the end of one."""
    whole, few = Shapes().load("train", limit=20), Shapes().load("train", limit=limit)
    assert torch.equal(few.images, whole.images[: 10 * limit])
    assert torch.equal(few.labels, whole.labels[: 10 * limit])


def test_a_limit_above_the_count_draws_all() -> None:
    assert len(Shapes(size=16).load("test", limit=10**9)) == 2_000


def test_splits_and_seeds_differ() -> None:
    images = Shapes(size=16).load("train", limit=2).images
    assert (images != Shapes(size=16).load("test", limit=2).images).any(dim=(1, 2, 3)).all()
    assert (images != Shapes(size=16, seed=1).load("train", limit=2).images).any(dim=(1, 2, 3)).all()


def test_no_image_comes_twice() -> None:
    images = torch.cat([Shapes(size=16).load(split).images for split in Shapes.splits])
    assert len(torch.unique(images.flatten(1), dim=0)) == 12_000


def test_mean_and_deviation_are_those_of_the_training_pixels() -> None:
    """Of 2,000 images, one in five: a channel's mean varies by 0.2 among images, and so by 0.005 among such means."""
    pixels = Shapes().load("train", limit=200).images.transpose(0, 1).flatten(1).double() / 255
    assert pixels.mean(dim=1).tolist() == pytest.approx(Shapes.mean, abs=0.01)
    assert pixels.std(dim=1).tolist() == pytest.approx(Shapes.std, abs=0.01)


def test_one_seed_shows_the_same_pictures_at_every_size() -> None:
    """Averages of 2×2 pixels are the picture at half the size, but for its noise and the pixels at its edges."""
    small, large = (Shapes(size=size).load("test", limit=2).images.float() for size in (64, 128))
    assert (nn.functional.avg_pool2d(large, 2) - small).abs().mean() < 12  # of 255; unrelated pictures differ by 70


def test_distances_measure_the_outlines() -> None:
    """On the row of texels through the middle, by hand: the disc has radius 0.85, the ring 0.92 and 0.5."""
    maps = dict(zip(OUTLINES, distances()[:, 0, 64], strict=True))
    x = (torch.arange(128) + 0.5) * (2.4 / 128) - 1.2  # radii; the row itself is 0.009 off the middle
    assert torch.allclose(maps["circle"], x.abs() - 0.85, atol=0.01)
    assert torch.allclose(maps["ring"], torch.maximum(x.abs() - 0.92, 0.5 - x.abs()), atol=0.01)


def test_areas_are_those_of_the_outlines() -> None:
    """By geometry: regular polygons with unit corners, n/2 sin(2π/n); the star 5 · 0.45 sin 36°; two bars a cross."""
    areas = dict(zip(OUTLINES, (distances() < 0).sum(dim=(1, 2, 3)) * (2.4 / 128) ** 2, strict=True))
    expected = {"triangle": 1.299, "square": 2.0, "pentagon": 2.378, "star": 1.3226, "circle": 2.27, "ring": 1.874}
    cross = 2 * (1.84 * 0.66) - 0.66**2
    assert {name: areas[name].item() for name in [*expected, "cross"]} == pytest.approx(
        expected | {"cross": cross}, rel=0.02
    )


def linear_accuracy(train: Split, test: Split) -> float:
    """Fit multinomial logistic regression to pixels, and score it."""
    torch.manual_seed(0)

    def pixels(split: Split) -> torch.Tensor:
        return (split.images.flatten(1).float() - 127) / 64

    model = nn.Linear(pixels(train).shape[1], 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pixels(train)), train.labels).backward()
        optimizer.step()
    return (model(pixels(test)).argmax(dim=1) == test.labels).float().mean().item()


def test_a_linear_model_does_not_do() -> None:
    """With 2,000 images of 32 pixels a side it gets about 15 %; chance is 10 %."""
    source = Shapes(size=32)
    assert linear_accuracy(source.load("train", limit=200), source.load("test", limit=100)) < 0.5
