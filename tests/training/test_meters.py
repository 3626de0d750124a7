"""Means over an epoch."""

import pytest
import torch

from cnncli.training.meters import Meter


def test_uneven_batches_count_by_their_images() -> None:
    meter = Meter(torch.device("cpu"))
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    meter.update(torch.tensor(0.5), logits, torch.tensor([0, 1, 0]))  # two of three are right
    meter.update(torch.tensor(2.5), logits[:1], torch.tensor([0]))
    metrics = meter.compute()
    assert metrics.loss == pytest.approx((3 * 0.5 + 1 * 2.5) / 4)
    assert (metrics.accuracy, metrics.num_images, metrics.top5_accuracy) == (3 / 4, 4, None)


def test_nothing_seen_is_zero_of_zero() -> None:
    metrics = Meter(torch.device("cpu")).compute()
    assert (metrics.loss, metrics.accuracy, metrics.num_images) == (0.0, 0.0, 0)
