"""A kernel that is learned back, against torch's own gradient descent."""

import re

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from cnncli.analysis import kernel_learning
from cnncli.analysis.convolution import convolve, window_of
from cnncli.analysis.kernel_learning import learn_kernel
from cnncli.errors import ConfigError

EDGES = np.ones((1, 6, 8))
EDGES[:, :, 2:6] = 0
KERNEL, WINDOW = np.array([[[1.0, -1]]]), window_of((1, 2))
OUTPUT = convolve(EDGES, KERNEL, WINDOW).output[0]


@pytest.mark.parametrize("seed", range(100))
def test_ten_steps_end_within_a_tenth(seed: int) -> None:
    """Dive into Deep Learning, 7.2.4.

    XᵀX is 6·[[3, 2], [2, 3]], so that a step of 0.03 leaves -0.8 and 0.64 of the error along (1, 1) and (1, -1): after
    ten 0.107 and 0.012, of at most √2/2 and 1 + √2/2.
    """
    learned = learn_kernel(EDGES, OUTPUT, WINDOW, 10, 0.03, seed)
    assert np.abs(learned.kernel - KERNEL).max() < 0.1
    assert len(learned.losses) == 11
    assert learned.losses == sorted(learned.losses, reverse=True)


def test_it_is_torchs_gradient_descent() -> None:
    random = np.random.default_rng(0)
    maps, kernel = random.normal(size=(2, 9, 8)), random.normal(size=(2, 3, 2))
    stride, padding, dilation = (2, 1), (1, 2), (1, 2)
    window = window_of((3, 2), stride, padding, dilation)
    output = convolve(maps, kernel, window).output[0]
    learned = learn_kernel(maps, output, window, 5, 1e-3, seed=7)
    bound = 1 / np.sqrt(12)
    weights = torch.from_numpy(np.random.default_rng(7).uniform(-bound, bound, 12).reshape(1, 2, 3, 2)).requires_grad_()
    losses = []
    for _ in range(6):
        answer = F.conv2d(torch.from_numpy(maps)[None], weights, None, stride, padding, dilation)
        loss = (answer[0, 0] - torch.from_numpy(output)).square().sum()
        losses.append(loss.item())
        (gradient,) = torch.autograd.grad(loss, weights)
        before, weights = weights, (weights - 1e-3 * gradient).detach().requires_grad_()
    np.testing.assert_allclose(learned.losses, losses)
    np.testing.assert_allclose(learned.kernel, before[0].detach())


def test_the_largest_learning_rate_is_where_the_loss_stops_falling() -> None:
    """1/30 in the example, whose curvature is 60 at most."""
    assert learn_kernel(EDGES, OUTPUT, WINDOW, 1).lr == pytest.approx(0.9 / 30)
    assert learn_kernel(EDGES, OUTPUT, WINDOW, 200, 0.999 / 30).losses[-1] < 1
    for lr in (1 / 29.9, float("nan")):
        with pytest.raises(ConfigError, match=re.escape("below 0.033 the loss falls")):
            learn_kernel(EDGES, OUTPUT, WINDOW, 10, lr)


@pytest.mark.parametrize("scale", [1e-20, 1e-5, 255.0, 1e30])
def test_a_learning_rate_that_fits_is_found_at_any_scale(scale: float) -> None:
    output = convolve(EDGES * scale, KERNEL, WINDOW).output[0]
    learned = learn_kernel(EDGES * scale, output, WINDOW, 100)
    np.testing.assert_allclose(learned.kernel, KERNEL, atol=1e-6)


def test_an_input_may_not_tell_kernels_apart() -> None:
    """In rows of equal numbers only the sum of both weights shows, which for 1 and -1 is nothing."""

    def learned(maps: NDArray[np.float64]) -> tuple[float, int]:
        found = learn_kernel(maps, convolve(maps, KERNEL, WINDOW).output[0], WINDOW, 100)
        return float(found.kernel.sum()), found.num_seen

    assert learned(EDGES) == (pytest.approx(0, abs=1e-6), 2)
    assert learned(EDGES.transpose(0, 2, 1)) == (pytest.approx(0, abs=1e-6), 1)


def test_what_cannot_be_learned_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="the input is zero"):
        learn_kernel(np.zeros((1, 6, 8)), OUTPUT * 0, WINDOW, 10)
    monkeypatch.setattr(kernel_learning, "MOST_NUMBERS", 83)
    with pytest.raises(ConfigError, match="here 84 numbers of at most 83"):  # 6·7 places, 2 weights
        learn_kernel(EDGES, OUTPUT, WINDOW, 10)
