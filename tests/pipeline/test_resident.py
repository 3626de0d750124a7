"""Batches from memory."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch

from cnncli.datasets import Split
from cnncli.pipeline import Batch, resident
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.loader import Recipe
from cnncli.pipeline.plan import plan_epoch
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.resident import ResidentLoader
from cnncli.runtime import choose_runtime

PREPROCESS = Preprocess(6, 1, (0.0,), (1.0,))


def loader(batch_size: int, memory_format: str = "channels_last", augment: Augment | None = None) -> ResidentLoader:
    """Return a loader of 23 images, each of which carries its number in every pixel."""
    numbers = torch.arange(23)
    images = numbers.byte()[:, None, None, None].expand(23, 1, 6, 6).contiguous()
    runtime = choose_runtime("cpu", memory_format=memory_format)  # type: ignore[arg-type]
    return ResidentLoader(Split(images, numbers), Recipe(PREPROCESS, batch_size, 5, augment or Augment()), runtime)


def joined(batches: Iterable[Batch]) -> list[torch.Tensor]:
    """Return the images and labels of all batches; nothing if there are none."""
    return [torch.cat(parts) for parts in zip(*((batch.images, batch.labels) for batch in batches), strict=True)]


def test_an_epoch_holds_each_image_once_and_its_last_batch_is_smaller() -> None:
    batches = list(loader(5).epoch(0))
    assert [len(batch.labels) for batch in batches] == [5, 5, 5, 5, 3]
    assert loader(5).num_batches == 5
    assert torch.cat([batch.labels for batch in batches]).sort().values.tolist() == list(range(23))
    for batch in batches:
        assert torch.equal(batch.images, (batch.labels.float() / 255).view(-1, 1, 1, 1).expand_as(batch.images))


def test_epochs_differ_and_repeat() -> None:
    first, again, second = (torch.cat([batch.labels for batch in loader(5).epoch(epoch)]) for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_a_batch_is_a_slice_of_the_plan() -> None:
    augment, images = Augment(shift=2, flip=True), torch.randint(0, 256, (23, 1, 6, 6), dtype=torch.uint8)
    plan = plan_epoch(seed=5, epoch=4, num_images=23)
    draws = plan.draws(0, 23, augment.num_draws)
    whole = loader(5, augment=augment)
    whole.images = images
    for number, batch in enumerate(whole.epoch(4)):
        rows = slice(5 * number, 5 * number + 5)
        assert torch.equal(batch.labels, plan.order[rows])
        assert torch.equal(batch.images, PREPROCESS.normalise(augment(images[plan.order[rows]], draws[rows], 6)))


@pytest.mark.parametrize(
    "augment",
    [
        Augment(shift=2, flip=True),
        Augment(crop=True, pca=0.1, erase=0.5),
        Augment(rotate=12, scale=0.1, shear=5, mixup=0.2, cutmix=1.0),
        Augment(resized_crop=(0.2, 0.9), brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
    ],
)
@pytest.mark.parametrize("world_size", [1, 2])
def test_batches_made_together_are_to_the_bit_those_made_one_by_one(
    world_size: int, augment: Augment, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randint(0, 256, (23, 3, 9, 9), dtype=torch.uint8)
    recipe = Recipe(Preprocess(6, 3, (0.4,) * 3, (0.2,) * 3, canvas=9), 5, 5, augment, num_classes=23)
    runtime = replace(choose_runtime("cpu"), rank=world_size - 1, world_size=world_size)
    together = ResidentLoader(Split(images, torch.arange(23)), recipe, runtime)
    expected = list(together.epoch(2, position=5))
    assert [batch.size for batch in expected] == [5, 5, 5, 3]
    monkeypatch.setattr(resident, "NUMBERS_AT_ONCE", 1)
    for batch, other in zip(together.epoch(2, position=5), expected, strict=True):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(batch[:3], other[:3], strict=True))
        assert batch[3:] == other[3:]


@pytest.mark.parametrize("position", range(24))
def test_from_a_position_it_yields_the_rest_of_the_plan(position: int) -> None:
    augment = Augment(shift=2, flip=True)
    whole = joined(loader(5, augment=augment).epoch(3))
    rest = joined(loader(5, augment=augment).epoch(3, position))
    if position == 23:
        assert rest == []
    for all_of_it, tail in zip(whole, rest, strict=False):
        assert torch.equal(all_of_it[position:], tail)


def test_a_split_that_is_scored_again_is_handed_out_as_before() -> None:
    """Whether it is kept, or made anew as a large one is; what is kept is made once."""
    kept, made = loader(4), loader(4)
    made._kept = None
    first, again = list(kept.in_order()), list(kept.in_order())
    assert all(batch.images is other.images for batch, other in zip(first, again, strict=True))
    for whole, expected in zip(joined(again), joined(made.in_order()), strict=True):
        assert torch.equal(whole, expected)
    assert torch.equal(joined(kept.in_order(canvases=True))[0], joined(made.in_order(canvases=True))[0])


def test_in_order_nothing_is_shuffled_or_augmented() -> None:
    images, labels = joined(loader(4, augment=Augment(shift=2)).in_order())
    assert labels.tolist() == list(range(23))
    assert torch.equal(images[:, 0, 0, 0], labels.float() / 255)


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_the_layout_is_the_runtimes(memory_format: str) -> None:
    runtime = choose_runtime("cpu", memory_format=memory_format)  # type: ignore[arg-type]
    split = Split(torch.zeros(4, 3, 6, 6, dtype=torch.uint8), torch.zeros(4, dtype=torch.long))
    colour = Preprocess(6, 3, (0.0,) * 3, (1.0,) * 3)
    for batch in ResidentLoader(split, Recipe(colour, 2), runtime).in_order():
        assert batch.images.is_contiguous(memory_format=torch.channels_last) is (memory_format == "channels_last")
