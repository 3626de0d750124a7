"""A convolution in words and numbers."""

import json

import numpy as np
import pytest

from cnncli.analysis.convolution import Window, convolve, pooled, window_of
from cnncli.analysis.kernel_learning import learn_kernel
from cnncli.pages.convolution_text import describe, to_json

NINE, FOUR = np.arange(9.0).reshape(1, 3, 3), np.arange(4.0).reshape(1, 2, 2)
EXAMPLE = """\
input    3×3
kernel   2×2, 4 weights
output   2×2
dense    a layer between the same two would hold 36, 9 times as many
size     ⌊(n − k + 2·p) / s⌋ + 1 for a side n, window k, padding p, stride s
height   ⌊(3 − 2 + 2·0) / 1⌋ + 1 = 2
width    ⌊(3 − 2 + 2·0) / 1⌋ + 1 = 2

kernel
 0 1
 2 3

output
 19 25
 37 43

top left: 0·0 + 1·1 + 3·2 + 4·3 = 19"""


def test_sizes_and_numbers_of_the_books_example() -> None:
    """Dive into Deep Learning, 7.2.1."""
    assert describe(convolve(NINE, FOUR, window_of((2, 2))), None) == EXAMPLE


def test_channels_are_shown_each_and_as_a_sum() -> None:
    """Dive into Deep Learning, 7.4.1."""
    maps, kernel = np.concatenate([NINE, NINE + 1]), np.concatenate([FOUR, FOUR + 1])
    text = describe(convolve(maps, kernel, window_of((2, 2))), None)
    assert "part 1\n 19 25\n 37 43\n\npart 2\n 37 47\n 67 77\n\nsum\n  56  72\n 104 120\n" in text
    assert text.endswith("top left: 0·0 + 1·1 + 3·2 + 4·3 + 1·1 + 2·2 + 4·3 + 5·4 = 56")


@pytest.mark.parametrize(
    ("maps", "window", "kind", "line"),
    [
        (FOUR, window_of((2, 2)), "max", "top left: max(0, 1, 2, 3) = 3"),
        (FOUR - 1, window_of((2, 2)), "avg", "top left: ((-1) + 0 + 1 + 2) / 4 = 0.5"),
        (FOUR - 9, window_of((2, 2), padding=(1, 1)), "max", "top left: max(-inf, -inf, -inf, -9) = -9"),
    ],
)
def test_the_first_of_a_pooling_is_written_out(maps: np.ndarray, window: Window, kind: str, line: str) -> None:
    text = describe(pooled(maps, kind, window), None)  # type: ignore[arg-type]
    assert text.splitlines()[-1] == line
    assert "dense" not in text


def test_what_does_not_divide_evenly_is_said_and_gaps_have_their_formula() -> None:
    text = describe(convolve(np.ones((1, 8, 9)), np.ones((1, 1, 3)), window_of((1, 3), (3, 2), (0, 0), (1, 3))), None)
    assert (
        "size     ⌊(n − d·(k − 1) − 1 + 2·p) / s⌋ + 1 for a side n, window k, padding p, stride s, dilation d" in text
    )
    assert "height   ⌊(8 − 1 + 2·0) / 3⌋ + 1 = 3, and the last 1 left over" in text
    assert "width    ⌊(9 − 3·(3 − 1) − 1 + 2·0) / 2⌋ + 1 = 2" in text.splitlines()


@pytest.mark.parametrize("shape", [(13, 2), (2, 51), (400, 300)])
def test_of_what_is_large_the_range_is_told(shape: tuple[int, int]) -> None:
    maps = np.zeros((1, *shape))
    maps[0, 0, 1] = -7.5
    text = describe(convolve(maps, np.ones((1, 1, 1)), window_of((1, 1))), None)
    assert text.endswith(f"kernel\n 1\n\noutput from -7.5 to 0, mean {-7.5 / maps.size:.5g}")
    assert max(map(len, text.splitlines())) <= 100


def test_learning_tells_how_the_loss_fell() -> None:
    window = window_of((1, 2))
    result = convolve(NINE, np.array([[[1.0, -1]]]), window)
    learned = learn_kernel(NINE, result.output[0], window, 1000)
    lines = describe(result, learned).split("The kernel is forgotten and learned back, ")[1].splitlines()
    assert lines[0] == f"lr {learned.lr:.2g}; loss is the sum of squared errors"
    assert lines[1] == f"step    0  loss {learned.losses[0]:.4g}"
    assert [int(line.split()[1]) for line in lines[1:22]] == list(range(0, 1001, 50))
    assert lines[21] == f"step 1000  loss {learned.losses[1000]:.4g}"
    assert lines[23] == "learned"
    assert lines[-1].endswith("from the kernel")


def test_a_kernel_that_does_not_show_is_said_not_to() -> None:
    window, maps = window_of((1, 2)), np.ones((1, 3, 3))
    result = convolve(maps, np.array([[[1.0, -1]]]), window)
    text = describe(result, learn_kernel(maps, result.output[0], window, 3))
    assert text.endswith("which shows 1 of 2 directions in which they may differ")


def test_json_holds_what_one_would_compute_with() -> None:
    window = window_of((1, 2), padding="same")
    result = convolve(NINE, np.array([[[1.0, -1]]]), window)
    learned = learn_kernel(NINE, result.output[0], window, 2, 0.001)
    plain = json.loads(json.dumps(to_json(result, learned)))
    assert plain["output"] == [[[-1, -1, 2], [-1, -1, 5], [-1, -1, 8]]]
    assert plain["padding"] == [[0, 0], [0, 1]]
    assert plain["formula"][1] == "⌊(3 − 2 + 0 + 1) / 1⌋ + 1 = 3"
    assert (plain["weights"], plain["dense_weights"]) == (2, 81)
    assert list(plain["learned"]) == ["kernel", "losses", "lr", "num_seen"]
    pooling = json.loads(json.dumps(to_json(pooled(NINE, "max", window_of((2, 2))), None)))
    assert (pooling["pool"], pooling["kernel"], pooling["weights"], pooling["learned"]) == ("max", None, None, None)
    assert list(pooling) == list(plain)
