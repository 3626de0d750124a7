"""Sizes, convolution and pooling, against plain loops and torch."""

import re
import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cnncli.analysis.convolution import Padding, Pair, Slide, convolve, pooled, window_of
from cnncli.analysis.cross_correlation import cross_correlate
from cnncli.errors import ConfigError


@pytest.mark.parametrize(
    ("slide", "length", "formula"),
    [
        (Slide(3), 100, "⌊(100 − 3 + 2·0) / 1⌋ + 1 = 98"),
        (Slide(3, before=1, after=1), 100, "⌊(100 − 3 + 2·1) / 1⌋ + 1 = 100"),
        (Slide(3, stride=2), 100, "⌊(100 − 3 + 2·0) / 2⌋ + 1 = 49"),
        (Slide(2, before=0, after=1), 8, "⌊(8 − 2 + 0 + 1) / 1⌋ + 1 = 8"),
        (Slide(3, dilation=2), 7, "⌊(7 − 2·(3 − 1) − 1 + 2·0) / 1⌋ + 1 = 3"),
    ],
)
def test_sizes_follow_a_formula_that_comes_true(slide: Slide, length: int, formula: str) -> None:
    assert slide.formula(length) == formula
    working, _, size = formula.rpartition(" = ")
    assert eval(working.translate(str.maketrans("⌊⌋−·", "()-*")).replace("/", "//")) == int(size)


@pytest.mark.parametrize("length", range(5, 12))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_what_is_left_over_is_what_changes_nothing(length: int, stride: int, dilation: int) -> None:
    """Torch's output depends on all of the input but for the end that is said to be left over."""
    slide = Slide(3, stride, 0, 0, dilation)
    signal = torch.zeros(1, 1, length, requires_grad=True)
    output = F.conv1d(signal, torch.ones(1, 1, 3), None, stride, 0, dilation)
    (gradient,) = torch.autograd.grad(output.sum(), signal)
    assert output.shape[2] == slide.places(length)
    reached = slide.reach + stride * (slide.places(length) - 1)
    assert slide.unseen(length) == length - reached
    assert not gradient[0, 0, reached:].any()
    assert gradient[0, 0, reached - 1] != 0


SLIDING = [
    ((3, 3), (1, 1), (0, 0), (1, 1)),
    ((2, 4), (3, 2), (2, 1), (1, 1)),
    ((3, 2), (1, 2), (1, 3), (2, 3)),
    ((1, 2), (1, 1), (0, 0), (1, 1)),
]


@pytest.mark.parametrize(("size", "stride", "padding", "dilation"), SLIDING)
@pytest.mark.parametrize("channels", [1, 3])
def test_convolution_is_the_sum_of_the_channels_loops(
    size: Pair, stride: Pair, padding: Pair, dilation: Pair, channels: int
) -> None:
    random = np.random.default_rng(0)
    maps, kernel = random.normal(size=(channels, 8, 9)), random.normal(size=(channels, *size))
    result = convolve(maps, kernel, window_of(size, stride, padding, dilation))
    assert result.parts is not None
    for part, values, weights in zip(result.parts, maps, kernel, strict=True):
        np.testing.assert_allclose(part, cross_correlate(values, weights, stride, padding, dilation), atol=1e-12)
    expected = F.conv2d(torch.from_numpy(maps)[None], torch.from_numpy(kernel)[None], None, stride, padding, dilation)
    np.testing.assert_allclose(result.output, expected[0], atol=1e-12)
    assert result.dense_weights == maps.size * expected.numel()


@pytest.mark.parametrize("size", [(1, 2), (3, 3), (4, 5), (2, 1)])
@pytest.mark.parametrize("dilation", [(1, 1), (3, 2)])
def test_same_is_torchs(size: Pair, dilation: Pair) -> None:
    """Of an odd number of rows or columns, the larger half is added at the end."""
    random = np.random.default_rng(0)
    maps, kernel = random.normal(size=(1, 6, 7)), random.normal(size=(1, *size))
    result = convolve(maps, kernel, window_of(size, padding="same", dilation=dilation))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding=.same. with even kernel")  # it copies the input
        expected = F.conv2d(torch.from_numpy(maps)[None], torch.from_numpy(kernel)[None], None, 1, "same", dilation)
    assert result.output.shape == maps.shape
    np.testing.assert_allclose(result.output, expected[0], atol=1e-12)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [((2, 2), (2, 2), (0, 0)), ((3, 2), (1, 2), (1, 1)), ((4, 5), (3, 1), (2, 2))]
)
def test_pooling_is_torchs(size: Pair, stride: Pair, padding: Pair) -> None:
    maps = np.random.default_rng(0).normal(size=(2, 7, 8)) - 3  # a zero of the padding would be the largest
    images, window = torch.from_numpy(maps)[None], window_of(size, stride, padding)
    np.testing.assert_array_equal(pooled(maps, "max", window).output, F.max_pool2d(images, size, stride, padding)[0])
    mean = F.avg_pool2d(images, size, stride, padding)[0]
    np.testing.assert_allclose(pooled(maps, "avg", window).output, mean, atol=1e-12)


def test_the_figures_of_the_books() -> None:
    """Dive into Deep Learning, 7.2 and 7.5, and the sums of five columns, three at a time."""
    rows = np.tile(np.arange(1.0, 6), (5, 1))[None]
    assert convolve(rows, np.ones((1, 3, 3)), window_of((3, 3))).output.tolist() == [[[18, 27, 36]] * 3]
    four = np.array([[[1.0, 2], [3, 4]]])
    assert pooled(four, "avg", window_of((2, 2), (2, 2))).output.tolist() == [[[2.5]]]
    assert pooled(four, "max", window_of((2, 2), (2, 2))).output.tolist() == [[[4]]]
    edges = np.ones((1, 6, 8))
    edges[:, :, 2:6] = 0
    kernel = np.array([[[1.0, -1]]])
    assert convolve(edges, kernel, window_of((1, 2))).output.tolist() == [[[0, 1, 0, 0, 0, -1, 0]] * 6]
    assert not convolve(edges.transpose(0, 2, 1), kernel, window_of((1, 2))).output.any()


def test_a_kernel_of_one_channel_is_that_of_all() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 5, 5))
    kernel = np.arange(4.0).reshape(1, 2, 2)
    result = convolve(maps, kernel, window_of((2, 2)))
    np.testing.assert_allclose(result.output[0], cross_correlate(maps.sum(0), kernel[0]))
    assert result.kernel is not None
    assert result.kernel.size == 12  # which a layer would hold
    with pytest.raises(ConfigError, match=re.escape("--kernel has 2 channels, the input 3")):
        convolve(maps, np.ones((2, 2, 2)), window_of((2, 2)))


@pytest.mark.parametrize(
    ("size", "padding", "dilation", "message"),
    [
        (
            (5, 1),
            (0, 0),
            (1, 1),
            "covers 5 of the height, where the input has 3; it takes a smaller one, or --padding 1",
        ),
        ((1, 8), (0, 1), (1, 1), "covers 8 of the width, where the input has 4 and 2 of padding;"),
        ((2, 2), (0, 0), (1, 4), "covers 5 of the width, where the input has 4;"),
    ],
)
def test_a_window_that_does_not_fit_is_refused_and_fits_as_told(
    size: Pair, padding: Pair, dilation: Pair, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        convolve(np.ones((1, 3, 4)), np.ones((1, *size)), window_of(size, (1, 1), padding, dilation))
    told = int(str(refused.value).rpartition(" ")[2])
    convolve(np.ones((1, 3, 4)), np.ones((1, *size)), window_of(size, (1, 1), (told, told), dilation))


def test_what_padding_cannot_be_is_refused() -> None:
    same: Padding = "same"
    with pytest.raises(ConfigError, match=re.escape("--padding same keeps the size, which a stride of 2x2 does not")):
        window_of((3, 3), (2, 2), same)
    with pytest.raises(ConfigError, match="at most half of --size"):
        pooled(np.ones((1, 4, 4)), "max", window_of((2, 2), (2, 2), (2, 0)))
