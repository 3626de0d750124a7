"""Augmentation of a batch against NumPy, torchvision and SciPy, image by image."""

import colorsys
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import beta, norm
from torch.nn import functional as F
from torchvision.transforms.v2 import functional

from cnncli.pipeline.augment import COLUMNS, PCA_VALUES, PCA_VECTORS, Augment, beta_quantile

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


def drawn(kind: str, *values: float, rows: int = 1) -> torch.Tensor:
    """Return draws that are 0.9 but for one kind of change."""
    draws = torch.full((rows, NUM), 0.9)
    draws[:, COLUMNS[kind]] = torch.tensor(values)
    return draws


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours.float(), theirs.float(), rtol=0, atol=tolerance)


PHOTO = (
    F.interpolate(  # smooth, so that the last bits of a coordinate matter little
        torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(5)) * 255, (24, 24), mode="bicubic"
    )
    .clamp(0, 255)
    .round()
    .byte()
)


@pytest.mark.parametrize(("down", "right"), [(0.0, 0.0), (0.999, 0.5), (0.3, 0.999)])
def test_a_crop_is_a_slice(down: float, right: float) -> None:
    top, left = int(down * 9), int(right * 9)
    ours = Augment(crop=True)(PHOTO, drawn("crop", down, right), 16)
    assert torch.equal(ours, PHOTO[:, :, top : top + 16, left : left + 16])


def test_without_a_crop_the_middle_is_seen() -> None:
    assert torch.equal(Augment(flip=True)(PHOTO, drawn("flip", 0.9), 16), PHOTO[:, :, 4:20, 4:20])


@pytest.mark.parametrize(("top", "left"), [(0, 0), (12, 4), (6, 12)])
def test_a_resized_crop_is_torchvisions(top: int, left: int) -> None:
    """A quarter of the area, 12 pixels a side, made 6: each new pixel is the mean of four."""
    ours = Augment(resized_crop=(0.25, 0.25))(PHOTO, drawn("resized_crop", 0.5, 0.5, top / 12, left / 12), 6)
    close(ours, functional.resized_crop(PHOTO.float(), top, left, 12, 12, [6, 6], antialias=False), 0.02)


def test_resized_crops_have_the_areas_and_aspects_that_are_asked_for() -> None:
    """Of 20,000 in a picture of 300×400; those that reach beyond it are cut, and of few they are many."""
    augment = Augment(resized_crop=(0.1, 0.4), aspect=(0.5, 2.0))
    draws = torch.rand(20_000, NUM, generator=torch.Generator().manual_seed(6))
    top, left, height, width = augment.boxes(draws, torch.full((20_000,), 300), torch.full((20_000,), 400)).unbind(1)
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= 300.001
    assert (left + width).max() <= 400.001
    area, aspect = height * width / 120_000, width / height
    assert area.min() >= 0.0999
    assert area.max() <= 0.4001
    assert aspect.min() >= 0.4999
    assert aspect.max() <= 2.0001
    # Even areas have the mean 0.25 and the deviation 0.3/√12; logarithms of aspects are even around 0.
    assert abs(area.mean() - 0.25) < 5 * 0.3 / (12 * 20_000) ** 0.5 + 0.001
    assert abs(aspect.log().mean()) < 5 * 2 * math.log(2) / (12 * 20_000) ** 0.5


@pytest.mark.parametrize(
    ("augment", "share", "expected"),
    [
        ({"rotate": 30.0}, (0.75, 0.5, 0.5), {"angle": 15.0}),
        ({"rotate": 180.0}, (0.25, 0.5, 0.5), {"angle": -90.0}),
        ({"scale": 0.5}, (0.5, 1.0, 0.5), {"scale": 1.5}),
        ({"scale": 0.5}, (0.5, 0.0, 0.5), {"scale": 0.5}),
        ({"shear": 20.0}, (0.5, 0.5, 1.0), {"shear": [20.0, 0.0]}),
        (
            {"rotate": 40.0, "scale": 0.2, "shear": 10.0},
            (1.0, 1.0, 0.0),
            {"angle": 40.0, "scale": 1.2, "shear": [-10.0, 0.0]},
        ),
    ],
)
def test_affine_is_torchvisions(augment: dict[str, float], share: tuple[float, ...], expected: dict[str, Any]) -> None:
    """Around an image whose outermost pixels go on, as torchvision sees it where it was padded before."""
    whole: dict[str, Any] = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], **expected}
    ours = Augment(padding="edge", **augment)(PHOTO, drawn("affine", *share), 24)  # type: ignore[arg-type]
    padded = F.pad(PHOTO.float(), (30,) * 4, mode="replicate")
    theirs = functional.affine(padded, **whole, interpolation=functional.InterpolationMode.BILINEAR)
    close(ours, theirs[..., 30:54, 30:54], 0.1)


def test_what_a_turned_image_leaves_is_black() -> None:
    """Turned by 45°, the corners of a white square lie outside; by 180° none does."""
    white = torch.full((1, 1, 9, 9), 255, dtype=torch.uint8)
    assert Augment(rotate=45.0)(white, drawn("affine", 1.0, 0.5, 0.5), 9)[0, 0, 0, 0] == 0
    assert Augment(rotate=45.0)(white, drawn("affine", 1.0, 0.5, 0.5), 9)[0, 0, 4, 4] == 255
    close(Augment(rotate=180.0)(white, drawn("affine", 1.0, 0.5, 0.5), 9), white, 0.01)


@pytest.mark.parametrize(
    ("kind", "place", "theirs"),
    [
        ("brightness", 0, functional.adjust_brightness),
        ("contrast", 1, functional.adjust_contrast),
        ("saturation", 2, functional.adjust_saturation),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_jitter_is_torchvisions(kind: str, place: int, theirs: Any, share: float) -> None:
    draws = drawn("jitter", 0.5, 0.5, 0.5, 0.5)
    draws[:, COLUMNS["jitter"]][:, place] = share
    ours = Augment(**{kind: 0.8})(PHOTO, draws, 24)
    close(ours, theirs(PHOTO.float() / 255, 1 + 0.8 * (2 * share - 1)) * 255, 0.1)


def test_grey_images_have_brightness_and_contrast() -> None:
    grey = PHOTO[:, :1]
    ours = Augment(contrast=0.5)(grey, drawn("jitter", 0.5, 1.0, 0.5, 0.5), 24)
    close(ours, functional.adjust_contrast(grey.float() / 255, 1.5) * 255, 0.1)
    ours = Augment(brightness=0.5)(grey, drawn("jitter", 0.0, 0.5, 0.5, 0.5), 24)
    close(ours, grey.float() / 2, 0.01)


def test_hue_turns_colours_in_yiq() -> None:
    """Python's colorsys has the same space, with coefficients rounded to two digits."""
    muted = PHOTO // 2 + 64  # so that no turned colour is cut off
    ours = Augment(hue=0.5)(muted, drawn("jitter", 0.5, 0.5, 0.5, 0.7), 24) / 255  # a fifth of a turn
    angle = 0.2 * 2 * math.pi
    for pixel, turned in zip(muted[0].flatten(1).T[::17] / 255, ours[0].flatten(1).T[::17], strict=True):
        y, i, q = colorsys.rgb_to_yiq(*pixel.tolist())
        i, q = i * math.cos(angle) - q * math.sin(angle), i * math.sin(angle) + q * math.cos(angle)
        close(turned, torch.tensor(colorsys.yiq_to_rgb(y, i, q)), 0.02)


def test_pca_adds_the_papers_colour() -> None:
    """[p1, p2, p3] · [α1 λ1, α2 λ2, α3 λ3] of section 4.1, with α from a normal distribution of deviation 0.1."""
    alpha = 0.1 * norm.ppf([0.1, 0.6, 0.99])
    colour = np.array(PCA_VECTORS) @ (alpha * np.array(PCA_VALUES))
    expected = (PHOTO[0].double() + torch.from_numpy(colour * 255)[:, None, None]).clamp(0, 255)
    close(Augment(pca=0.1)(PHOTO, drawn("pca", 0.1, 0.6, 0.99), 24)[0], expected, 1e-3)
    np.testing.assert_allclose(np.array(PCA_VECTORS).T @ np.array(PCA_VECTORS), np.eye(3), atol=1e-3)


def test_erasing_leaves_a_rectangle_of_the_papers_area() -> None:
    images, draws = torch.ones(4_000, 1, 32, 32), torch.rand(4_000, NUM, generator=torch.Generator().manual_seed(7))
    erased = Augment(erase=0.25).erased(images, draws) == 0
    counts = erased.sum((1, 2, 3))
    share = (counts > 0).float().mean()
    assert abs(share - 0.25) < 5 * (0.25 * 0.75 / 4_000) ** 0.5
    for image in erased[counts > 0][:200, 0]:
        rows, columns = image.any(1), image.any(0)
        assert image.sum() == rows.sum() * columns.sum()  # a rectangle
        assert 0.015 < image.float().mean() < 0.36


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.4, 1.0, 2.0, 8.0, 100.0])
def test_beta_quantiles_are_scipys(alpha: float) -> None:
    shares = torch.linspace(0.001, 0.999, 999)
    close(beta_quantile(shares, alpha), torch.from_numpy(beta.ppf(shares.double().numpy(), alpha, alpha)), 2e-3)
    assert beta_quantile(torch.tensor([0.0, 0.5, 1 - 2**-24]), alpha).isfinite().all()


LABELS = torch.arange(50) % 7


def test_mixup_blends_images_and_labels_alike() -> None:
    images = IMAGES.float()
    mixed, targets = Augment(mixup=0.4).mixed(images, LABELS, DRAWS, 7)
    share = torch.from_numpy(beta.ppf(DRAWS[:, COLUMNS["mix"]][:, 1].double().numpy(), 0.4, 0.4)).float()
    for i in range(50):
        close(mixed[i], share[i] * images[i] + (1 - share[i]) * images[i - 1], 0.3)
        expected = torch.zeros(7)
        expected[LABELS[i]] += share[i]
        expected[LABELS[i - 1]] += 1 - share[i]
        close(targets[i], expected, 1e-3)


def test_cutmix_pastes_a_rectangle_and_counts_its_pixels() -> None:
    own, other = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    images, labels = torch.cat([own, other]).repeat(500, 1, 1, 1), torch.tensor([0, 1]).repeat(500)
    draws = torch.rand(1_000, NUM, generator=torch.Generator().manual_seed(8))
    mixed, targets = Augment(cutmix=1.0).mixed(images, labels, draws, 2)
    pasted = (mixed != images)[:, 0]
    close(targets[torch.arange(1_000), labels], 1 - pasted.float().mean((1, 2)), 1e-6)
    close(targets.sum(1), torch.ones(1_000), 1e-6)
    assert ((mixed == 0) | (mixed == 1)).all()
    areas = pasted.sum((1, 2))
    assert torch.equal(areas, pasted.any(1).sum(1) * pasted.any(2).sum(1))
    assert areas.min() < 10
    assert areas.max() > 200


def test_with_both_each_image_gets_one_of_them() -> None:
    images = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(9))
    draws, labels = torch.rand(400, NUM, generator=torch.Generator().manual_seed(10)), torch.arange(400) % 3
    mixed, _ = Augment(mixup=1.0, cutmix=1.0).mixed(images, labels, draws, 3)
    copied = ((mixed == images) | (mixed == images.roll(1, 0))).flatten(1).all(1)
    assert torch.equal(copied, draws[:, COLUMNS["mix"]][:, 0] < 0.5)


ALL = Augment(
    *(2, "reflect", True, False, (0.3, 1.0)),
    **{"rotate": 20.0, "scale": 0.2, "shear": 5.0, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4},
    **{"hue": 0.1, "pca": 0.1},
)


def test_all_together_stay_in_range_and_each_image_by_itself() -> None:
    changed = ALL(IMAGES, DRAWS, 7)
    assert changed.shape == (50, 3, 7, 7)
    assert 0 <= changed.min() <= changed.max() <= 255
    torch.testing.assert_close(ALL(IMAGES[9:11], DRAWS[9:11], 7), changed[9:11])
