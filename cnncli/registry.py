"""What a config can name: models, data sets, optimizers, schedules and losses.

A thing's name is its file's name, so that listing names imports nothing. A package in place of a file is a family: what
it has many of is called ``family/name``, and listing those imports the package. Optimizers, schedules and losses are
short enough to share one file each; there the name is the function's.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cnncli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from cnncli.datasets import Source
    from cnncli.training.schedules import Schedule

T = TypeVar("T", bound=Callable[..., Any])


class Registry(Generic[T]):
    """The things of one kind, imported when they are asked for.

    ``where`` is a package (one file a thing) or a module (one function a thing). Other distributions add to a
    package by entry points of the group ``where``.
    """

    def __init__(self, kind: str, where: str) -> None:
        self.kind = kind
        self._where = where
        self._found: dict[str, T] = {}

    def register(self, thing: T) -> T:
        """Mark the class or function that a file is about (a decorator)."""
        in_file_of_its_own = thing.__module__ != self._where
        name = thing.__module__.rpartition(".")[2] if in_file_of_its_own else thing.__name__
        self._found[name] = thing
        return thing

    def names(self) -> list[str]:
        """All names, sorted, but for those within families."""
        if (files := self._files()) is None:
            importlib.import_module(self._where)
            return sorted(self._found)
        return sorted({name for name, is_family in files.items() if not is_family} | set(self._entry_points()))

    def families(self) -> list[str]:
        """The families, sorted."""
        return sorted(name for name, is_family in (self._files() or {}).items() if is_family)

    def members(self, family: str) -> list[str]:
        """The names within a family, sorted, with the family's before them; imports it."""
        return [f"{family}/{name}" for name in self._family(family).names()]

    def choice(self) -> list[str]:
        """What a reader is told to choose from: all names, and of a family that it has some."""
        return sorted([*self.names(), *(f"{family}/…" for family in self.families())])

    def get(self, name: str) -> T:
        """Import one thing by its name; ``ConfigError`` with the nearest names if there is none."""
        if name not in self._found:
            family, slash, member = name.partition("/")
            if name in (points := self._entry_points()):
                self._found[name] = points[name].load()
            elif slash and family in self.families() and member in self._family(family).names():
                self._found[name] = self._family(family).named(member)
            elif name not in self.names():  # which imports all of a module
                raise ConfigError(f"unknown {self.kind} {name!r}{self._near(name)}")
            elif name not in self._found:
                importlib.import_module(f"{self._where}.{name}")
        return self._found[name]

    def _near(self, name: str) -> str:
        """End a message about an unknown name, which may be meant to be within a family: so those are imported."""
        for family in self.families():
            members, word = self._family(family).names(), name.removeprefix(f"{family}/")
            if word in members:
                return f"; did you mean {family}/{word}?"
            if word != name:
                return f" of {family}{did_you_mean(word, members)}"
        return did_you_mean(name, self.choice())

    def _files(self) -> dict[str, bool] | None:
        """Return the files of the package, and which of them are families; ``None`` of a module."""
        spec = importlib.util.find_spec(self._where)
        assert spec is not None, self._where
        if spec.submodule_search_locations is None:
            return None
        return {module.name: module.ispkg for module in pkgutil.iter_modules(spec.submodule_search_locations)}

    def _family(self, family: str) -> Any:
        """Import a family: a package with ``names()`` and ``named(name)``."""
        return importlib.import_module(f"{self._where}.{family}")

    def _entry_points(self) -> dict[str, Any]:
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=self._where)}


MODELS: "Registry[Callable[..., nn.Module]]" = Registry("model", "cnncli.models")
DATASETS: "Registry[type[Source]]" = Registry("data set", "cnncli.datasets")
OPTIMIZERS: "Registry[Callable[..., Optimizer]]" = Registry("optimizer", "cnncli.training.optimizers")
SCHEDULES: "Registry[Callable[..., Schedule]]" = Registry("schedule", "cnncli.training.schedules")
LOSSES: "Registry[Callable[..., nn.Module]]" = Registry("loss", "cnncli.training.losses")
