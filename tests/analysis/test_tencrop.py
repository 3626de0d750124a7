"""Ten views of an image."""

import torch
from torch import nn
from torchvision.transforms.v2 import functional

from cnncli.analysis.tencrop import TenCrop, ten_views


def test_the_views_are_torchvisions_in_another_order() -> None:
    """It mirrors the image before it cuts the corners, so that left and right change places."""
    canvases = torch.rand(2, 3, 10, 10)
    ours, theirs = ten_views(canvases, 6), functional.ten_crop(canvases, [6, 6])
    for view in ours:
        assert sum(torch.equal(view, other) for other in theirs) == 1


def test_probabilities_are_averaged() -> None:
    torch.manual_seed(0)
    model, canvases = nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 5)), torch.rand(4, 3, 10, 10)
    expected = torch.stack([model(view).softmax(1) for view in functional.ten_crop(canvases, [6, 6])]).mean(0)
    torch.testing.assert_close(TenCrop(model, 6)(canvases).softmax(1), expected)


def test_a_probability_too_small_for_a_float_has_a_logarithm() -> None:
    """Logits 0 and 200 in all views: the logarithm of the first class's probability is -200."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    nn.init.zeros_(model[1].weight)
    model[1].bias = nn.Parameter(torch.tensor([0.0, 200.0]))
    torch.testing.assert_close(TenCrop(model, 6)(torch.zeros(1, 1, 8, 8)), torch.tensor([[-200.0, 0.0]]))
