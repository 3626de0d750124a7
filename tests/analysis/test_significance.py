"""Intervals and tests, against scipy's."""

import statistics

import numpy as np
import pytest
from scipy import stats

from cnncli.analysis.significance import holm, mcnemar, spread_of, welch, wilson_interval


@pytest.mark.parametrize(("correct", "total"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (9934, 10_000)])
def test_the_interval_of_a_share_is_scipys(correct: int, total: int) -> None:
    expected = stats.binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_mcnemars_p_is_that_of_scipys_binomial_test() -> None:
    assert mcnemar(0, 0) == 1.0
    for only_first, only_second in [(0, 1), (0, 6), (5, 5), (5, 6), (61, 30), (30, 61), (300, 420), (20_000, 20_500)]:
        expected = stats.binomtest(only_first, only_first + only_second, 0.5).pvalue
        assert mcnemar(only_first, only_second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(0, 5000) == 0.0  # 2 to the power of -4,999 is below the smallest float


def test_welchs_p_is_scipys() -> None:
    random = np.random.default_rng(0)
    for size, other in [(3, 3), (3, 10), (5, 5), (40, 4)]:
        first, second = random.normal(0, 1, size).tolist(), random.normal(1, 3, other).tolist()
        expected = stats.ttest_ind(first, second, equal_var=False).pvalue
        assert welch(first, second) == pytest.approx(expected, rel=1e-6)
    assert welch([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert welch([0.5, 0.5, 0.5], [0.4, 0.4, 0.4]) is None


def test_holms_correction_is_that_of_the_definition() -> None:
    """The smallest of three counts three times, the next twice, and none is below one that was smaller."""
    assert holm([]) == []
    assert holm([0.02]) == [0.02]
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.6, 0.001]) == pytest.approx([1.0, 1.0, 0.003])


def test_a_spread_is_that_of_a_sample() -> None:
    values = [0.99, 0.98, 0.995]
    spread = spread_of(values)
    assert (spread.n, spread.mean, spread.std) == (3, statistics.mean(values), statistics.stdev(values))
    assert (spread.low, spread.high) == (0.98, 0.995)
    assert spread_of([0.5]).std is None
