"""Augmentation of a batch against NumPy, image by image."""

import numpy as np
import pytest
import torch

from cnncli.pipeline.augment import Augment

NUMPY_MODES = {"zeros": "constant", "edge": "edge", "reflect": "reflect"}
IMAGES = torch.randint(0, 256, (50, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
DRAWS = torch.rand(50, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("padding", NUMPY_MODES)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_each_image_is_padded_cropped_and_mirrored_by_its_own_draws(shift: int, flip: bool, padding: str) -> None:
    result = Augment(shift, padding, flip)(IMAGES, DRAWS)  # type: ignore[arg-type]
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
    draws = torch.rand(90_000, 3, generator=torch.Generator().manual_seed(2))
    counts = Augment(shift=1)(dot, draws).long().sum(0)[0]
    assert (counts - 10_000).abs().max() < 5 * (90_000 * 8 / 81) ** 0.5


def test_nothing_asked_for_changes_nothing() -> None:
    assert Augment()(IMAGES, DRAWS) is IMAGES
