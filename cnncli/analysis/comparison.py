"""Runs against each other: what differs in their configs, and which differences of their results can be told from luck.

Networks are compared in pairs on the same test images; recipes by groups of runs that differ only by seed.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from cnncli.analysis.significance import Spread, holm, mcnemar, spread_of, welch
from cnncli.text import counted
from cnncli.training.meters import Metrics

LEVEL = 0.05  # of what chance alone would do this seldom, it is said that it did not
FEWEST = 3  # runs of a recipe, for a verdict on it
MOST_PAIRS = 15  # that are put into words
NOTING = ("train.name", "train.output", "train.log_every", "checkpoint.", "logging.")  # where and how; not what


@dataclass(frozen=True)
class Result:
    """What a run came to.

    ``config`` is flat, and empty where it isn't known; ``recipe`` is the same for runs that differ only by ``seed``.
    A run that ``is_whole`` has come to its end. ``images`` tells the test images and their labels from others, and
    ``right`` says of each whether the network, which has so many ``parameters``, knew it. ``notes`` say what is
    missing.
    """

    config: Mapping[str, Any]
    recipe: str
    seed: int | None
    test: Metrics | None = None
    images: str = ""
    right: Mapping[Hashable, bool] = field(default_factory=dict)
    parameters: int | None = None
    is_whole: bool = True
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Pair:
    """Two networks, by their number, on the images that both have seen."""

    first: int
    second: int
    num_images: int
    only_first: int  # images that the first alone is right on
    only_second: int
    p: float
    corrected: float  # for the number of pairs


@dataclass(frozen=True)
class Group:
    """The runs of one recipe, by their number, one of each seed, and the spread of their test accuracies."""

    members: list[int]
    spread: Spread


@dataclass(frozen=True)
class Contrast:
    """Two groups, by their number; ``obstacle`` says why there is no p."""

    first: int
    second: int
    difference: float  # of the means
    standard_error: float | None
    p: float | None = None
    corrected: float | None = None  # for the number of contrasts
    obstacle: str = ""


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the keys of flat configs that differ, with the value in each; a config that is empty isn't asked."""
    known = [config for config in configs if config]
    keys = dict.fromkeys(key for config in known for key in config if not key.startswith(NOTING))
    return {
        key: [config.get(key) for config in configs]
        for key in keys
        if any(config.get(key) != known[0].get(key) for config in known)
    }


def pairs_of(results: Sequence[Result]) -> list[Pair]:
    """Test each two networks that were scored on the same images."""
    found = []
    for first, second in combinations(range(len(results)), 2):
        one, other = results[first], results[second]
        both = one.right.keys() & other.right.keys()  # a broken file may be left out by one
        if both and one.images == other.images:
            only_first = sum(one.right[image] and not other.right[image] for image in both)
            only_second = sum(other.right[image] and not one.right[image] for image in both)
            found.append((first, second, len(both), only_first, only_second, mcnemar(only_first, only_second)))
    corrected = holm([values[-1] for values in found])
    return [Pair(*values, p) for values, p in zip(found, corrected, strict=True)]


def groups_of(results: Sequence[Result]) -> list[Group]:
    """Return the recipes that were scored at their end; of runs of one seed, which repeat each other, the first."""
    recipes: dict[str, dict[int | None, int]] = {}
    accuracy: dict[int, float] = {}
    for number, result in enumerate(results):
        if result.test is not None and result.is_whole:
            accuracy[number] = result.test.accuracy
            recipes.setdefault(result.recipe, {}).setdefault(result.seed, number)
    return [Group([*seeds.values()], spread_of([accuracy[n] for n in seeds.values()])) for seeds in recipes.values()]


def contrasts_of(results: Sequence[Result], groups: Sequence[Group]) -> list[Contrast]:
    """Test each two recipes of which at least one has several runs."""
    found = [
        _contrasted(results, groups, first, second)
        for first, second in combinations(range(len(groups)), 2)
        if groups[first].spread.n + groups[second].spread.n > 2
    ]
    corrected = iter(holm([contrast.p for contrast in found if contrast.p is not None]))
    return [contrast if contrast.p is None else replace(contrast, corrected=next(corrected)) for contrast in found]


def _contrasted(results: Sequence[Result], groups: Sequence[Group], first: int, second: int) -> Contrast:
    members, others = groups[first].members, groups[second].members
    one, other = groups[first].spread, groups[second].spread
    difference, error, p = one.mean - other.mean, None, None
    if one.std is not None and other.std is not None:
        error = math.sqrt(one.std**2 / one.n + other.std**2 / other.n)
    seen, seen_by_others = ({image for n in side for image in results[n].right} for side in (members, others))
    if {results[n].images for n in members} != {results[n].images for n in others} or not seen & seen_by_others:
        return Contrast(first, second, difference, error, obstacle="they were tested on other images")
    if min(one.n, other.n) < FEWEST:
        few = f"n is too small for a verdict, which takes {counted(FEWEST, 'seed')} of each"
        return Contrast(first, second, difference, error, obstacle=few)
    p = welch(*([test.accuracy for n in side if (test := results[n].test)] for side in (members, others)))
    return Contrast(first, second, difference, error, p, obstacle="" if p is not None else "no seed made a difference")


def in_words(letters: Sequence[str], groups: list[Group], contrasts: list[Contrast], pairs: list[Pair]) -> list[str]:
    """Say in sentences what can be said of runs that are called by ``letters``, and what cannot."""
    names = [", ".join(letters[n] for n in group.members) for group in groups]
    lines = [_spread(name, group.spread) for name, group in zip(names, groups, strict=True) if group.spread.n > 1]
    lines += [_contrast(names, contrast) for contrast in contrasts]
    if tested := sum(contrast.p is not None for contrast in contrasts):
        lines.append(_method("Welch's t-test of the means", tested))
    if len(pairs) > MOST_PAIRS or (pairs and contrasts):  # beside recipes, single networks would only confuse
        lines.append(f"--json tells of the {len(pairs)} pairs of networks one by one")
    elif pairs:
        lines += [_pair(letters, pair) for pair in pairs]
        lines.append(_method("McNemar's exact test of two networks", len(pairs)))
        if len(groups) > 1:
            lines += [
                "This is about these networks, and says little about their recipes, which another seed may rank",
                "otherwise; several seeds of each say more: cnn train --seeds 5",
            ]
    return lines


def _spread(name: str, spread: Spread) -> str:
    deviation = f"{100 * (spread.std or 0):.2f} (standard deviation)"
    share = f"mean {spread.mean:.2%} ± {deviation}, {spread.low:.2%} to {spread.high:.2%}"
    return f"{name} differ only by seed: test accuracy {share} (n = {spread.n})"


def _contrast(names: list[str], contrast: Contrast) -> str:
    better, worse = names[contrast.first], names[contrast.second]
    if contrast.difference < 0:
        better, worse = worse, better
    size = f"{abs(100 * contrast.difference):.2f}"
    size += f" ± {100 * contrast.standard_error:.2f} (standard error)" if contrast.standard_error is not None else ""
    said = f"{better} against {worse}: {size} points between the means; "
    if contrast.corrected is None:
        return said + contrast.obstacle
    verdict = "the first recipe is better" if contrast.corrected < LEVEL else "the recipes cannot be told apart"
    return f"{said}{verdict} ({_shown(contrast.corrected)})"


def _pair(letters: Sequence[str], pair: Pair) -> str:
    sides = [(pair.only_first, letters[pair.first]), (pair.only_second, letters[pair.second])]
    where, p = f"on these {counted(pair.num_images, 'image')}", _shown(pair.corrected)
    if pair.corrected < LEVEL:
        (most, better), (least, worse) = sorted(sides, reverse=True)
        return f"{better} is better {where}: it alone is right on {most:,}, {worse} alone on {least:,} ({p})"
    (ours, one), (theirs, other) = sides
    apart = f"{one} and {other} cannot be told apart {where}"
    return f"{apart}: {one} alone is right on {ours:,}, {other} alone on {theirs:,} ({p})"


def _method(test: str, number: int) -> str:
    return f"p is that of {test}" + f", corrected for {number} of them as Holm does" * (number > 1)


def _shown(p: float) -> str:
    return f"p = {p:.2g}" if p >= 0.0001 else "p < 0.0001"
