"""Losses against their formulas."""

import pytest
import torch
from torch import nn

from cnncli.registry import LOSSES


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
