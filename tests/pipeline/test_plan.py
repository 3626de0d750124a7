"""An epoch's plan."""

import pytest
import torch

from cnncli.pipeline.plan import hold_out, plan_epoch


def test_a_plan_is_a_permutation_with_even_draws() -> None:
    plan = plan_epoch(seed=3, epoch=5, num_images=10_000)
    draws = plan.draws(0, 10_000, 3)
    assert torch.equal(plan.order.sort().values, torch.arange(10_000))
    assert draws.shape == (10_000, 3)
    assert draws.dtype == torch.float32
    assert 0 <= draws.min() <= draws.max() < 1
    # The mean of n even draws has a standard deviation of 1/√(12 n) = 0.003; five of them are never seen.
    assert (draws.mean(0) - 0.5).abs().max() < 5 / (12 * 10_000) ** 0.5


def test_a_plan_depends_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first = plan_epoch(3, 5, 100)
    torch.manual_seed(2)
    again = plan_epoch(3, 5, 100)
    assert torch.equal(first.order, again.order)
    assert torch.equal(first.draws(0, 100, 2), again.draws(0, 100, 2))
    for seed, epoch in ((3, 6), (4, 5), (5, 3)):
        assert not torch.equal(first.order, plan_epoch(seed, epoch, 100).order)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_images_are_held_out_by_class(share: float) -> None:
    labels = torch.tensor([0] * 100 + [1] * 50 + [2] * 10)[
        torch.randperm(160, generator=torch.Generator().manual_seed(0))
    ]
    kept, held = hold_out(labels, share, seed=0)
    assert torch.equal(torch.cat([kept, held]).sort().values, torch.arange(160))
    assert torch.equal(kept, kept.sort().values)
    assert torch.equal(held, held.sort().values)
    expected = [max(round(share * count), 1) for count in (100, 50, 10)]
    assert labels[held].bincount().tolist() == expected
    assert torch.equal(held, hold_out(labels, share, seed=0)[1])
    assert not torch.equal(held, hold_out(labels, share, seed=1)[1])


def test_nothing_in_the_order_favours_a_place() -> None:
    """Over 2,000 epochs each of four images comes first 500 times, give or take 5·√(2,000 · 1/4 · 3/4) = 97."""
    first = torch.tensor([int(plan_epoch(0, epoch, 4).order[0]) for epoch in range(2_000)]).bincount()
    assert (first - 500).abs().max() < 97


def test_every_image_can_be_held_out() -> None:
    """Each of 20 images is held out by half of 400 seeds, give or take 5·√(400 / 4) = 50."""
    labels = torch.zeros(20, dtype=torch.long)
    times = torch.cat([hold_out(labels, 0.5, seed)[1] for seed in range(400)]).bincount()
    assert (times - 200).abs().max() < 50
