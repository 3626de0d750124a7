"""Losses against their formulas."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from cnncli.registry import LOSSES
from cnncli.training.losses import weight_of


def test_rbf_map_is_equation_9_of_the_paper() -> None:
    """E = mean of y_D + log(e^-j + sum_i e^-y_i), with distances y; LeCun et al. 1998, section II.C."""
    torch.manual_seed(0)
    distances = torch.rand(16, 10, dtype=torch.float64) * 20
    labels = torch.randint(0, 10, (16,))
    expected = torch.stack(
        [
            y[d] + torch.log(torch.exp(torch.tensor(-3.0)) + torch.exp(-y).sum())
            for y, d in zip(distances, labels, strict=True)
        ]
    ).mean()
    assert LOSSES.get("rbf_map")(rubbish=3.0)(-distances, labels).item() == pytest.approx(expected.item())


def test_cross_entropy_smooths_labels_as_torch_does() -> None:
    logits, labels = torch.randn(8, 5), torch.randint(0, 5, (8,))
    expected = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert torch.equal(LOSSES.get("cross_entropy")(label_smoothing=0.1)(logits, labels), expected)


def test_balanced_class_weights_are_scikit_learns() -> None:
    labels = torch.tensor([0] * 90 + [1] * 6 + [2] * 4)
    loss = LOSSES.get("cross_entropy")(class_weights="balanced", class_counts=labels.bincount())
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    np.testing.assert_allclose(loss.weight.numpy(), expected, rtol=1e-6)


def test_class_weights_count_in_training_alone() -> None:
    torch.manual_seed(0)
    counts, logits, labels = torch.tensor([9, 1, 2]), torch.randn(12, 3), torch.arange(12) % 3
    loss = LOSSES.get("cross_entropy")(class_weights="balanced", class_counts=counts)
    weighted = nn.functional.cross_entropy(logits, labels, loss.weight)
    assert torch.equal(loss.train()(logits, labels), weighted)
    assert torch.equal(loss.eval()(logits, labels), nn.functional.cross_entropy(logits, labels))
    total = (loss.weight[labels] * nn.functional.cross_entropy(logits, labels, reduction="none")).sum()
    torch.testing.assert_close(total / weight_of(loss.train(), labels), weighted)
    assert weight_of(loss.eval(), labels) == 12


def test_without_training_images_nothing_is_weighted() -> None:
    assert LOSSES.get("cross_entropy")(class_weights="balanced").weight is None
