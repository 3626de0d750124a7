"""Means over an epoch."""

import pytest
import torch

from cnncli.errors import DataError
from cnncli.runtime import choose_runtime
from cnncli.training.meters import Meter


def test_uneven_batches_count_by_their_images() -> None:
    meter = Meter(choose_runtime("cpu"))
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    meter.update(torch.tensor(0.5), 3.0, logits, torch.tensor([0, 1, 0]))  # two of three are right
    meter.update(torch.tensor(2.5), 1.0, logits[:1], torch.tensor([0]))
    metrics = meter.compute()
    assert metrics.loss == pytest.approx((3 * 0.5 + 1 * 2.5) / 4)
    assert (metrics.accuracy, metrics.num_images, metrics.top5_accuracy) == (3 / 4, 4, None)


def test_nothing_seen_has_no_mean() -> None:
    with pytest.raises(DataError, match="none of the images that were looked at can be read"):
        Meter(choose_runtime("cpu")).compute()
