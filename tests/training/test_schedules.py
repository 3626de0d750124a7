"""Schedules against torch.optim.lr_scheduler."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.optim import lr_scheduler

from cnncli.registry import SCHEDULES

TOTAL, PER_EPOCH = 60, 10


def torch_factors(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler], every: int = 1) -> list[float]:
    """Return the learning rates, of a peak of 1, that torch's scheduler gives each of the steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, factors = make(optimizer), []
    for step in range(1, TOTAL + 1):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % every == 0 and step < TOTAL:
            scheduler.step()
    return factors


def factors(name: str, **options: object) -> list[float]:
    schedule = SCHEDULES.get(name)(TOTAL, PER_EPOCH, **options)
    return [schedule.factor(step) for step in range(TOTAL)]


def test_constant() -> None:
    assert factors("constant") == [1.0] * TOTAL


def test_step() -> None:
    expected = torch_factors(lambda o: lr_scheduler.StepLR(o, step_size=2, gamma=0.5), every=PER_EPOCH)
    assert factors("step", every_epochs=2, gamma=0.5) == pytest.approx(expected)


def test_cosine() -> None:
    expected = torch_factors(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL, eta_min=0.1))
    assert factors("cosine", final=0.1) == pytest.approx(expected)


@pytest.mark.parametrize("rise", [0.1, 0.3, 0.5])
def test_onecycle(rise: float) -> None:
    def make(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        return lr_scheduler.OneCycleLR(
            optimizer, 1.0, TOTAL, pct_start=rise, div_factor=25, final_div_factor=1e4, cycle_momentum=False
        )

    assert factors("onecycle", rise=rise) == pytest.approx(torch_factors(make))


@pytest.mark.parametrize("total", [1, 2, 3])
def test_shortest_runs_have_finite_factors(total: int) -> None:
    for name in SCHEDULES.names():
        schedule = SCHEDULES.get(name)(total, 1)
        assert all(0 <= schedule.factor(step) <= 1 for step in range(total)), name


def test_plateau() -> None:
    losses = [1.0, 0.9, 0.95, 0.9, 0.89999, 0.91, 0.5, 0.6, 0.6, 0.6, 0.6]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=2)
    ours = SCHEDULES.get("plateau")(TOTAL, PER_EPOCH, gamma=0.1, patience=2)
    restored = SCHEDULES.get("plateau")(TOTAL, PER_EPOCH, gamma=0.1, patience=2)
    for loss in losses:
        theirs.step(loss)
        restored.load_state_dict(ours.state_dict())
        ours.observe(loss)
        restored.observe(loss)
        assert ours.factor(0) == restored.factor(0) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert ours.factor(0) < 0.05  # it was reduced more than once


def test_warm_up_rises_linearly_and_then_leaves_the_schedule_alone() -> None:
    schedule = SCHEDULES.get("constant")(TOTAL, PER_EPOCH)
    schedule.warmup_steps = 4
    assert [schedule.factor(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_ends_at_its_final_factor() -> None:
    assert SCHEDULES.get("cosine")(TOTAL, PER_EPOCH).factor(TOTAL) == pytest.approx(0.0, abs=1e-15)
    assert math.isclose(SCHEDULES.get("onecycle")(TOTAL, PER_EPOCH).factor(TOTAL - 1), 4e-6)
