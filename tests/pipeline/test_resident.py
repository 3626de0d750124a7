"""Batches from memory."""

import pytest
import torch

from cnncli.datasets import Split
from cnncli.pipeline.augment import Augment
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
    return ResidentLoader(Split(images, numbers), PREPROCESS, runtime, batch_size, 5, augment or Augment())


def test_an_epoch_holds_each_image_once_and_its_last_batch_is_smaller() -> None:
    batches = list(loader(5).epoch(0))
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 5, 3]
    assert loader(5).num_batches == 5
    assert torch.cat([labels for _, labels in batches]).sort().values.tolist() == list(range(23))
    for images, labels in batches:
        assert torch.equal(images, (labels.float() / 255).view(-1, 1, 1, 1).expand_as(images))


def test_epochs_differ_and_repeat() -> None:
    first, again, second = (torch.cat([labels for _, labels in loader(5).epoch(epoch)]) for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_a_batch_is_a_slice_of_the_plan() -> None:
    augment, images = Augment(shift=2, flip=True), torch.randint(0, 256, (23, 1, 6, 6), dtype=torch.uint8)
    plan = plan_epoch(seed=5, epoch=4, num_images=23, num_draws=3)
    whole = loader(5, augment=augment)
    whole.images = images
    for number, batch in enumerate(whole.epoch(4)):
        rows = slice(5 * number, 5 * number + 5)
        assert torch.equal(batch.labels, plan.order[rows])
        assert torch.equal(batch.images, PREPROCESS.normalise(augment(images[plan.order[rows]], plan.draws[rows])))


@pytest.mark.parametrize("position", range(24))
def test_from_a_position_it_yields_the_rest_of_the_plan(position: int) -> None:
    augment = Augment(shift=2, flip=True)
    whole = [torch.cat(parts) for parts in zip(*loader(5, augment=augment).epoch(3), strict=True)]
    rest = [torch.cat(parts) for parts in zip(*loader(5, augment=augment).epoch(3, position), strict=True)]
    if position == 23:
        assert rest == []
    for all_of_it, tail in zip(whole, rest, strict=False):
        assert torch.equal(all_of_it[position:], tail)


def test_in_order_nothing_is_shuffled_or_augmented() -> None:
    images, labels = (torch.cat(parts) for parts in zip(*loader(4, augment=Augment(shift=2)).in_order(), strict=True))
    assert labels.tolist() == list(range(23))
    assert torch.equal(images[:, 0, 0, 0], labels.float() / 255)


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_the_layout_is_the_runtimes(memory_format: str) -> None:
    runtime = choose_runtime("cpu", memory_format=memory_format)  # type: ignore[arg-type]
    split = Split(torch.zeros(4, 3, 6, 6, dtype=torch.uint8), torch.zeros(4, dtype=torch.long))
    colour = Preprocess(6, 3, (0.0,) * 3, (1.0,) * 3)
    for images, _ in ResidentLoader(split, colour, runtime, 2).in_order():
        assert images.is_contiguous(memory_format=torch.channels_last) is (memory_format == "channels_last")
