"""Augmentation of a batch against NumPy, image by image."""

import numpy as np
import pytest
import torch

from cnncli.pipeline.augment import Augment

NUMPY_MODES = {"zeros": "constant", "edge": "edge", "reflect": "reflect"}
IMAGES = torch.randint(0, 256, (50, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
NUM = Augment(flip=True).num_draws
DRAWS = torch.rand(50, NUM, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("padding", NUMPY_MODES)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_each_image_is_padded_cropped_and_mirrored_by_its_own_draws(shift: int, flip: bool, padding: str) -> None:
    result = Augment(shift, padding, flip)(IMAGES, DRAWS, 9)  # type: ignore[arg-type]
    assert result.dtype == torch.uint8
    for image, draw, ours in zip(IMAGES.numpy(), DRAWS.numpy(), result.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (shift, shift), (shift, shift)), mode=NUMPY_MODES[padding])  # type: ignore[call-overload]
        down, right = (int(np.float32(value) * (2 * shift + 1)) for value in draw[:2])
        expected = padded[:, down : down + 9, right : right + 9]
        if flip and draw[2] < 0.5:
            expected = expected[:, :, ::-1]
        np.testing.assert_array_equal(ours, expected)


def test_every_place_is_as_likely() -> None:
    """Of 90,000 draws each of nine places gets 10,000 ± 5 standard deviations of √(90,000 · 1/9 · 8/9)."""
    dot = torch.zeros(90_000, 1, 3, 3, dtype=torch.uint8)
    dot[:, :, 1, 1] = 1
    draws = torch.rand(90_000, NUM, generator=torch.Generator().manual_seed(2))
    counts = Augment(shift=1)(dot, draws, 3).long().sum(0)[0]
    assert (counts - 10_000).abs().max() < 5 * (90_000 * 8 / 81) ** 0.5


@pytest.mark.parametrize("shift", [1, 2])
def test_every_shift_occurs(shift: int) -> None:
    """Draws in the middle of (2k + 1)² equal squares bring a dot from the centre to each place once."""
    places = 2 * shift + 1
    down, right = np.divmod(np.arange(places**2), places)
    draws = torch.zeros(places**2, NUM)
    draws[:, :2] = torch.tensor((np.stack([down, right], axis=1) + 0.5) / places)
    dot = torch.zeros(places**2, 1, places, places, dtype=torch.uint8)
    dot[:, :, shift, shift] = 1
    assert Augment(shift)(dot, draws, places).sum(0)[0].tolist() == [[1] * places] * places


@pytest.mark.parametrize("shift", [1, 2, 7, 100, 512])
def test_the_largest_draw_stays_inside(shift: int) -> None:
    """NumPy's largest float32 below 1 is 1 − 2⁻²⁴; times 2k + 1 it must not round up to 2k + 1."""
    image = torch.full((1, 1, 2, 2), 9, dtype=torch.uint8)
    draws = torch.full((1, NUM), 1 - 2**-24)
    assert Augment(shift, "edge")(image, draws, 2).tolist() == image.tolist()


def test_about_half_are_mirrored_and_the_rest_untouched() -> None:
    """Of 10,000 even draws half are below 0.5, give or take five standard deviations of √(10,000 / 4) = 50."""
    images = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4).expand(10_000, 1, 4, 4)
    result = Augment(flip=True)(images, torch.rand(10_000, NUM, generator=torch.Generator().manual_seed(3)), 4)
    mirrored = (result == images.flip(3)).flatten(1).all(1)
    assert ((result == images).flatten(1).all(1) != mirrored).all()
    assert abs(int(mirrored.sum()) - 5_000) < 250


def test_an_image_depends_on_its_own_draws_alone() -> None:
    augment, order = Augment(2, "reflect", flip=True), torch.randperm(50, generator=torch.Generator().manual_seed(4))
    whole, before = augment(IMAGES, DRAWS, 9), IMAGES.clone()
    assert torch.equal(augment(IMAGES[order], DRAWS[order], 9), whole[order])
    assert torch.equal(augment(IMAGES[7:8], DRAWS[7:8], 9), whole[7:8])
    assert torch.equal(IMAGES, before)


def test_nothing_asked_for_changes_nothing() -> None:
    assert torch.equal(Augment()(IMAGES, DRAWS, 9), IMAGES)
    assert Augment().num_draws == 0
