"""The plain loops, against what torch makes of the same numbers, and what books print."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cnncli.analysis.cross_correlation import cross_correlate

BY_TORCH: list[Any] = [F.conv1d, F.conv2d, F.conv3d]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation"), [(1, 0, 1), (2, 0, 1), (1, 2, 1), (1, 0, 2), (3, 2, 2), (2, 5, 1)]
)
def test_it_is_what_torch_calls_convolution(dimensions: int, stride: int, padding: int, dilation: int) -> None:
    random = np.random.default_rng(dimensions)
    values, kernel = random.normal(size=(7, 6, 5)[:dimensions]), random.normal(size=(3, 2, 3)[:dimensions])
    expected = BY_TORCH[dimensions - 1](
        torch.from_numpy(values)[None, None], torch.from_numpy(kernel)[None, None], None, stride, padding, dilation
    )
    np.testing.assert_allclose(cross_correlate(values, kernel, stride, padding, dilation), expected[0, 0], atol=1e-12)


def test_each_dimension_may_have_sizes_of_its_own() -> None:
    """The example of Zhang et al., Dive into Deep Learning, 7.3.2: 8×8 becomes 2×2."""
    values, kernel = np.arange(64.0).reshape(8, 8), np.arange(15.0).reshape(3, 5)
    stride, padding = (3, 4), (0, 1)
    expected = F.conv2d(
        torch.from_numpy(values)[None, None], torch.from_numpy(kernel)[None, None], None, stride, padding
    )
    assert expected.shape[2:] == (2, 2)
    np.testing.assert_array_equal(cross_correlate(values, kernel, stride, padding), expected[0, 0])


def test_the_books_first_example() -> None:
    """Dive into Deep Learning, 7.2.1, and 7.4.1 for two channels, which are a third dimension."""
    values, kernel = np.arange(9.0).reshape(3, 3), np.arange(4.0).reshape(2, 2)
    assert cross_correlate(values, kernel).tolist() == [[19, 25], [37, 43]]
    both = cross_correlate(np.stack([values, values + 1]), np.stack([kernel, kernel + 1]))
    assert both.tolist() == [[[56, 72], [104, 120]]]
