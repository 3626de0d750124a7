"""What can be said of a difference: intervals, spreads, and tests with few assumptions."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

NUM_SLICES = 10_000  # of an integral


@dataclass(frozen=True)
class Spread:
    """Some numbers in five; ``std`` is the sample's, with n − 1, and ``None`` of one number."""

    n: int
    mean: float
    std: float | None
    low: float
    high: float


def spread_of(values: Sequence[float]) -> Spread:
    """Return mean, standard deviation and range; there must be a value."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(len(values), statistics.mean(values), std, min(values), max(values))


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    z, share = NormalDist().inv_cdf(0.975), correct / total
    middle = share + z**2 / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    lower, upper = ((middle + sign * reach) / (1 + z**2 / total) for sign in (-1, 1))
    return (lower if correct else 0.0), (upper if correct < total else 1.0)  # which rounding would miss


def mcnemar(only_first: int, only_second: int) -> float:
    """Return how likely so uneven a split is where both are equally good: of images that one of two networks knows.

    Exact, by the binomial distribution, in whole numbers. McNemar, "Note on the sampling error of the difference
    between correlated proportions or percentages", 1947.
    """
    total, ways, tail = only_first + only_second, 1, 0  # ways to choose so many of the total
    for chosen in range(min(only_first, only_second) + 1):
        tail += ways
        ways = ways * (total - chosen) // (chosen + 1)
    return min(tail / (1 << total) * 2, 1.0)


def welch(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return how likely means so far apart are where they are equal; ``None`` where no value differs from its mean.

    Welch, "The generalization of 'Student's' problem when several different population variances are involved", 1947.
    """
    shares = [statistics.variance(values) / len(values) for values in (first, second)]
    if not sum(shares):
        return None
    t = (statistics.mean(first) - statistics.mean(second)) / math.sqrt(sum(shares))
    degrees = [share**2 / (len(values) - 1) for share, values in zip(shares, (first, second), strict=True)]
    return _beyond(abs(t), sum(shares) ** 2 / sum(degrees))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, so that one in twenty families at most has a false one below 0.05.

    Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(p_values[place] * (len(p_values) - rank), 1.0))
        corrected[place] = highest
    return corrected


def _beyond(t: float, freedom: float) -> float:
    """Return how likely Student's t is beyond ±``t``: for t = √ν·tan θ, its density goes as cos θ to the ν − 1."""

    def area(start: float) -> float:
        width = (math.pi / 2 - start) / NUM_SLICES
        return width * sum(math.pow(math.cos(start + (n + 0.5) * width), freedom - 1) for n in range(NUM_SLICES))

    return area(math.atan(t / math.sqrt(freedom))) / area(0.0)
