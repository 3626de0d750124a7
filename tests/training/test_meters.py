"""Means over an epoch."""

import numpy as np
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


def test_hits_are_counted_whenever_they_are_asked_for() -> None:
    """Of 100 batches, of which some are counted together; the share is NumPy's."""
    meter, random = Meter(choose_runtime("cpu")), torch.Generator().manual_seed(0)
    logits, labels = torch.randn(700, 10, generator=random), torch.randint(10, (700,), generator=random)
    for number, (some, theirs) in enumerate(zip(logits.split(7), labels.split(7), strict=True), start=1):
        meter.update(torch.tensor(0.0), 7.0, some, theirs)
        if number in (3, 40, 100):
            right = np.mean(logits[: 7 * number].numpy().argmax(1) == labels[: 7 * number].numpy())
            assert meter.compute().accuracy == right
