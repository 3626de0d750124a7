"""What a sweep searches: ``--param KEY=RANGE``, and the values that it tries of each key."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from cnncli.errors import ConfigError

EXAMPLES = "optimizer.lr=log:1e-3..1e-1, augment.shift=0..4 or train.batch_size=32,64,128"
NUMBER = r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
RANGE = re.compile(rf"(log:)?({NUMBER})\.\.({NUMBER})")


@dataclass(frozen=True)
class Choices:
    """Some values of a key, each as ``--set`` takes it."""

    key: str
    values: tuple[str, ...]

    @property
    def ends(self) -> tuple[str, ...]:
        """The values that must be right for all to be."""
        return self.values

    def __str__(self) -> str:
        return f"{self.key}={','.join(self.values)}"


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``, whole ones where both are; evenly drawn on a logarithmic scale or not."""

    key: str
    low: int | float
    high: int | float
    log: bool

    @property
    def ends(self) -> tuple[str, ...]:
        """The values that must be right for all to be."""
        return str(self.low), str(self.high)

    def __str__(self) -> str:
        return f"{self.key}={'log:' * self.log}{self.low}..{self.high}"


Parameter = Choices | Range


def parse_space(texts: Iterable[str]) -> list[Parameter]:
    """Return the parameters that were asked for; ``ConfigError`` where one is malformed, or asked for twice."""
    space = [_parse(text) for text in texts]
    if not space:
        raise ConfigError(f"say what to search: --param KEY=RANGE, such as {EXAMPLES}")
    for one, other in combinations(space, 2):
        if one.key == other.key:
            raise ConfigError(f"--param {other}: {one.key} is asked for twice")
    return space


def _parse(text: str) -> Parameter:
    key, _, values = (part.strip() for part in text.partition("="))
    if not key or not values:
        raise ConfigError(f"--param {text}: expected KEY=RANGE, such as {EXAMPLES}")
    if found := RANGE.fullmatch(values):
        return _range(text, key, *found.groups())
    choices = tuple(choice.strip() for choice in values.split(","))
    if len(choices) < 2 or not all(choices) or values.startswith("log:"):
        raise ConfigError(f"--param {text}: expected a range or several values, such as {EXAMPLES}")
    if len(set(choices)) < len(choices):
        raise ConfigError(f"--param {text}: names a value twice")
    return Choices(key, choices)


def _range(text: str, key: str, log: str | None, *ends: str) -> Range:
    number = int if all(end.lstrip("+-").isdecimal() for end in ends) else float
    low, high = map(number, ends)
    if low >= high:
        raise ConfigError(f"--param {text}: from {low} to {high} is no range: the smaller one comes first")
    if log and low <= 0:
        raise ConfigError(f"--param {text}: a logarithmic range begins above 0")
    return Range(key, low, high, log is not None)
