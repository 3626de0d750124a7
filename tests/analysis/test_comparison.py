"""Which differences of runs are named, and which verdicts are drawn from them."""

from string import ascii_lowercase
from typing import Any

import pytest

from cnncli.analysis.comparison import Result, contrasts_of, differences, groups_of, in_words, pairs_of
from cnncli.training.meters import Metrics


def result(right: list[bool], recipe: str = "", seed: int = 0, images: str = "digits") -> Result:
    """Return the result of a network that is right on some images, or was not scored if there are none."""
    if not right:
        return Result({}, recipe, seed)
    scores = Metrics(0.1, sum(right) / len(right), None, len(right), 0)
    return Result({}, recipe, seed, scores, images, dict(enumerate(right)))


def reached(accuracy: float, recipe: str, seed: int, images: str = "digits") -> Result:
    """Return the result of a run with an accuracy on 1,000 images."""
    return result([number < 1000 * accuracy for number in range(1000)], recipe, seed, images)


def words(results: list[Result]) -> list[str]:
    groups = groups_of(results)
    return in_words(ascii_lowercase, groups, contrasts_of(results, groups), pairs_of(results))


def test_only_keys_that_differ_are_named_and_where_a_run_lies_is_none() -> None:
    configs: list[dict[str, Any]] = [
        {"train.name": "one", "train.seed": 0, "optimizer.name": "sgd", "optimizer.momentum": 0.9},
        {"train.name": "two", "train.seed": 0, "optimizer.name": "adam"},
        {},  # of foreign weights, of which nothing is known
    ]
    assert differences(configs) == {
        "optimizer.name": ["sgd", "adam", None],
        "optimizer.momentum": [0.9, None, None],
    }
    assert differences([{}, {}]) == {}


def test_a_pair_is_compared_on_the_images_that_both_have_seen() -> None:
    first = result([True] * 61 + [False] * 30 + [True] * 9909, "one")
    second = result([False] * 61 + [True] * 30 + [True] * 9909, "two")
    verdict, method, *caution = words([first, second])
    # scipy.stats.binomtest(30, 91).pvalue is 0.00152
    assert verdict == "a is better on these 10,000 images: it alone is right on 61, b alone on 30 (p = 0.0015)"
    assert method == "p is that of McNemar's exact test of two networks"
    assert "says little about their recipes" in caution[0]
    assert words([second, first])[0].startswith("b is better on these 10,000 images: it alone is right on 61, a alone")
    lost = Result({}, "two", 0, second.test, "digits", {n: r for n, r in second.right.items() if n % 2})  # broken files
    (pair,) = pairs_of([first, lost])
    assert (pair.num_images, pair.only_first, pair.only_second) == (5000, 30, 15)


def test_luck_is_called_luck() -> None:
    even = [result([True, False] * 10, "one"), result([False, True] * 10, "two")]
    expected = "a and b cannot be told apart on these 20 images: a alone is right on 10, b alone on 10 (p = 1)"
    assert words(even)[0] == expected


def test_several_pairs_are_corrected_for_and_other_images_make_no_pair() -> None:
    """Six against none are p = 2/64; of three such pairs Holm makes 6/64, which is no longer below 0.05."""
    runs = [result([True] * 6 + [False] * 6, "one"), result([False] * 12, "two"), result([False] * 12, "three")]
    assert [pair.p for pair in pairs_of(runs)] == [2 / 64, 2 / 64, 1.0]
    assert [pair.corrected for pair in pairs_of(runs)] == [6 / 64, 6 / 64, 1.0]
    assert words(runs)[3] == "p is that of McNemar's exact test of two networks, corrected for 3 of them as Holm does"
    other = [result([True] * 12, "four", images="letters"), result([], "five")]
    assert [(pair.first, pair.second) for pair in pairs_of([runs[0], *other, runs[1]])] == [(0, 3)]
    assert words([runs[0], *other]) == []


def test_runs_that_differ_only_by_seed_are_compared_as_groups() -> None:
    """With the p-value of scipy.stats.ttest_ind([0.97, 0.98, 0.975], [0.9, 0.93, 0.91], equal_var=False): 0.0131."""
    good = [reached(accuracy, "good", seed) for seed, accuracy in enumerate((0.97, 0.98, 0.975))]
    bad = [reached(accuracy, "bad", seed) for seed, accuracy in enumerate((0.9, 0.93, 0.91))]
    lines = words([*bad, *good])
    assert lines[:4] == [
        "a, b, c differ only by seed: test accuracy mean 91.33% ± 1.53 (standard deviation), 90.00% to 93.00% (n = 3)",
        "d, e, f differ only by seed: test accuracy mean 97.50% ± 0.50 (standard deviation), 97.00% to 98.00% (n = 3)",
        "d, e, f against a, b, c: 6.17 ± 0.93 (standard error) points between the means;"
        " the first recipe is better (p = 0.013)",
        "p is that of Welch's t-test of the means",
    ]
    assert "little about their recipes" not in " ".join(lines)
    (few,) = contrasts_of(runs := [*good, *bad[:2]], groups_of(runs))
    assert few.obstacle == "n is too small for a verdict, which takes 3 seeds of each"
    assert (few.p, few.corrected) == (None, None)
    elsewhere = [reached(0.9, "bad", seed, images="letters") for seed in range(3)]
    (other,) = contrasts_of(runs := [*good, *elsewhere], groups_of(runs))
    assert other.obstacle == "they were tested on other images"


def test_a_run_that_repeats_another_counts_once() -> None:
    groups = groups_of([reached(0.9, "one", 0), reached(0.9, "one", 0), reached(0.8, "one", 1), result([], "one", 2)])
    assert [group.members for group in groups] == [[0, 2]]


@pytest.mark.parametrize(("number", "lines"), [(6, 15 + 3), (7, 1)])
def test_many_pairs_are_left_to_json(number: int, lines: int) -> None:
    assert len(words([result([True] * 9, str(n)) for n in range(number)])) == lines
