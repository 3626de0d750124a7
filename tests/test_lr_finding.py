"""The learning rate range test."""

import math
from collections.abc import Iterable
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from cnncli.config.validation import load_config
from cnncli.errors import DivergedError
from cnncli.experiment import Experiment
from cnncli.lr_finding import BETA, LossCurve, find_lr
from cnncli.pages.lr_range import draw_lr_range
from cnncli.pipeline import Batch


def prepared(config: Path, *sets: str) -> Experiment:
    return Experiment.prepare(load_config(config, sets))


def unseen(batches: Iterable[Batch], num_batches: int, label: str) -> Iterable[Batch]:
    return batches


def curve_of(lrs: Iterable[float], losses: Iterable[float]) -> LossCurve:
    curve = LossCurve()
    for lr, loss in zip(lrs, losses, strict=True):
        curve.add(lr, loss)
    return curve


@pytest.mark.parametrize("sets", [(), ("train.accumulate=2", "train.epochs=1"), ("schedule.warmup_epochs=1",)])
def test_it_equals_a_hand_written_loop(sets: tuple[str, ...], tiny_config: Path) -> None:
    """Twenty steps are seven epochs of 48 images at batch 16, and the run's own schedule plays no part."""
    experiment = prepared(tiny_config, *sets)
    curve = find_lr(experiment, 1e-4, 1.0, 20, unseen)
    loader, model = experiment.train_loader(), experiment.build_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1, momentum=0.9, fused=True)
    lrs, losses = np.geomspace(1e-4, 1.0, 20), []
    for lr, batch in zip(lrs, chain.from_iterable(map(loader.epoch, count())), strict=False):
        optimizer.param_groups[0]["lr"] = lr
        loss = F.cross_entropy(model(batch.images), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(curve.lrs, lrs, rtol=1e-12)
    # Parts of a batch are summed up in another order.
    np.testing.assert_allclose(curve.losses, losses, rtol=1e-6 if experiment.config.train.accumulate == 1 else 1e-4)
    assert find_lr(experiment, 1e-4, 1.0, 20, unseen) == curve  # to the bit


def test_the_smoothed_loss_is_the_mean_with_falling_weights() -> None:
    losses = np.random.default_rng(0).uniform(1, 2, 50)
    curve = curve_of(np.geomspace(1e-3, 1, 50), losses.tolist())
    for end in range(1, 51):
        weights = BETA ** np.arange(end)[::-1]
        assert math.isclose(curve.smoothed[end - 1], np.average(losses[:end], weights=weights), rel_tol=1e-12)


@pytest.mark.parametrize("leap", [0.0, 3.0])
def test_the_suggestion_is_where_a_known_curve_is_steepest(leap: float) -> None:
    """A logistic fall is steepest in its middle, here at 0.01; the running mean lags by beta / (1 - beta) steps.

    That of a recovery is steeper, and passed over.
    """
    lrs = np.geomspace(1e-6, 1, 601)  # 100 a decade
    way = np.log10(lrs)
    losses = 2.3 - 2 / (1 + np.exp(-4 * (way + 2))) + 3 * np.clip(way + 0.5, 0, None)
    losses[200] += leap
    curve = curve_of(lrs.tolist(), losses.tolist())
    assert curve.suggestion is not None
    assert abs(lrs.tolist().index(curve.suggestion) - (400 + BETA / (1 - BETA))) <= 1
    assert curve.lrs[curve.lowest] == pytest.approx(10**-0.5, rel=0.15)


def test_a_fall_that_ends_in_a_leap_suggests_a_third_of_where_it_does() -> None:
    lrs = np.geomspace(1e-4, 1, 401)
    losses = np.where(lrs <= 0.1, 2.3 - 10 * lrs, 5.0)  # ever steeper over log lr
    assert curve_of(lrs.tolist(), losses.tolist()).suggestion == pytest.approx(0.1 / 3, rel=1e-9)


@pytest.mark.parametrize("slope", [0.0, 0.3], ids=["level", "rising"])
def test_a_loss_that_never_fell_suggests_nothing(slope: float) -> None:
    noise = np.random.default_rng(0).uniform(2.28, 2.32, 200)
    curve = curve_of(np.geomspace(1e-6, 1, 200), (noise + slope * np.linspace(0, 1, 200)).tolist())
    assert curve.suggestion is None


def test_it_ends_where_the_loss_diverges(tiny_config: Path) -> None:
    """By four times its lowest, or by being no number; neither is an error."""
    curve = find_lr(prepared(tiny_config, "model.activation=relu"), 1e-3, 1000, 60, unseen)
    assert len(curve.losses) < 60
    assert all(map(math.isfinite, curve.smoothed))
    assert not curve_of([1, 2, 3], [1.0, 1.0, 2.0]).has_diverged
    assert curve_of([1, 2, 3], [1.0, 1.0, 20.0]).has_diverged


def test_a_loss_that_never_was_finite_is_an_error(tiny_config: Path) -> None:
    with pytest.raises(DivergedError, match="not finite at step 1 "):
        find_lr(prepared(tiny_config, "data.mean=[1e38]", "data.std=[1e-4]"), 1e-3, 1, 20, unseen)


def test_steps_that_fp16_skips_are_made_again(tiny_config: Path) -> None:
    """Each learning rate has one loss, of the update that was made with it."""
    curve = find_lr(prepared(tiny_config, "runtime.precision=fp16"), 1e-4, 1e-2, 20, unseen)
    np.testing.assert_allclose(curve.lrs, np.geomspace(1e-4, 1e-2, 20), rtol=1e-12)


def test_pictures_that_are_streamed_do_as_well(folder_config: Path, tmp_path: Path) -> None:
    kept = prepared(folder_config, "data.cache=memory")
    streamed = prepared(folder_config, "data.cache=off", "data.workers=1")
    assert find_lr(kept, 1e-4, 1e-1, 20, unseen) == find_lr(streamed, 1e-4, 1e-1, 20, unseen)


def test_the_picture_is_drawn_with_a_suggestion_and_without(tmp_path: Path) -> None:
    falling = curve_of(np.geomspace(1e-4, 1, 40), np.linspace(3, 1, 40).tolist())
    level = curve_of(islice(count(1), 2), [2.0, 2.0])
    for name, curve in (("a $b_c^", falling), ("level", level)):
        draw_lr_range(curve, name, tmp_path / "lr.png")
        with Image.open(tmp_path / "lr.png") as picture:
            assert picture.size == (700, 440)
            assert len(np.unique(np.array(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10  # not blank
