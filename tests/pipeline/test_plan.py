"""An epoch's plan."""

import pytest
import torch

from cnncli.pipeline.plan import batches_in_order, hold_out, plan_balanced_epoch, plan_epoch


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


@pytest.mark.parametrize("num_draws", [1, 8, 28])
def test_a_row_has_the_same_draws_and_seed_whatever_is_asked_for_with_it(num_draws: int) -> None:
    plan = plan_epoch(3, 5, 50)
    draws, seeds = plan.draws(0, 50, num_draws), plan.seeds(0, 50)
    for start, stop in ((0, 1), (7, 20), (49, 50), (50, 50)):
        assert torch.equal(plan.draws(start, stop, num_draws), draws[start:stop])
        assert torch.equal(plan.seeds(start, stop), seeds[start:stop])
    assert seeds.min() >= 0
    assert len(seeds.unique()) == len(draws[:, 0].unique()) == 50


@pytest.mark.parametrize("position", [0, 10, 20, 49])
@pytest.mark.parametrize("world_size", [2, 3, 11])
def test_ranks_share_each_batch(world_size: int, position: int) -> None:
    """Of 50 images in batches of 10 the ranks' parts, dealt like cards, are what one process would take."""
    plan = plan_epoch(3, 5, 50)
    whole = list(plan.batches(10, 3, position))
    ranks = [list(plan.batches(10, 3, position, rank, world_size)) for rank in range(world_size)]
    for number, batch in enumerate(whole):
        parts = [rank[number] for rank in ranks]
        assert {part.size for part in parts} == {batch.size}
        for rank, part in enumerate(parts):
            assert part.counts is (rank < batch.size)
            mine = slice(rank, None, world_size) if part.counts else slice(0, 1)
            assert torch.equal(part.images, batch.images[mine])
            assert part.draws is not None
            assert batch.draws is not None
            assert torch.equal(part.draws, batch.draws[mine])
    assert {len(rank) for rank in ranks} == {len(whole)}


@pytest.mark.parametrize(("num_images", "world_size"), [(10, 3), (2, 4), (97, 2), (12, 1)])
def test_in_order_every_image_belongs_to_one_rank(num_images: int, world_size: int) -> None:
    ranks = [batches_in_order(num_images, 4, rank, world_size) for rank in range(world_size)]
    numbers = [number for rank in ranks for rows in rank for number in rows.images.tolist()]
    assert sorted(numbers) == list(range(num_images))


def test_a_balanced_epoch_shows_all_classes_alike_and_all_of_a_class_alike() -> None:
    labels = torch.tensor([0] * 90 + [1] * 7 + [3] * 6)  # none of class 2
    plan = plan_balanced_epoch(0, 4, labels)
    assert len(plan.order) == len(labels)
    assert sorted(labels[plan.order].bincount().tolist()) == [0, 34, 34, 35]
    for label, smallest in ((1, 4), (3, 5)):  # 34 // 7 and 34 // 6
        times = plan.order.bincount(minlength=len(labels))[labels == label]
        assert smallest <= times.min() <= times.max() <= smallest + 1
    assert plan.order.bincount(minlength=len(labels))[labels == 0].max() == 1
    assert torch.equal(plan.order, plan_balanced_epoch(0, 4, labels).order)
    assert not torch.equal(plan.order, plan_balanced_epoch(0, 5, labels).order)
