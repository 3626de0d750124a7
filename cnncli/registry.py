"""What a config can name: models, data sets, optimizers, schedules and losses.

A thing's name is its file's name, so that listing names imports nothing. Optimizers, schedules and losses are short
enough to share one file each; there the name is the function's.
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
        """All names, sorted."""
        spec = importlib.util.find_spec(self._where)
        assert spec is not None, self._where
        if spec.submodule_search_locations is None:  # a module, no package
            importlib.import_module(self._where)
            return sorted(self._found)
        files = {module.name for module in pkgutil.iter_modules(spec.submodule_search_locations)}
        return sorted(files | set(self._entry_points()))

    def get(self, name: str) -> T:
        """Import one thing by its name; ``ConfigError`` with the nearest names if there is none."""
        if name not in self._found and name not in (names := self.names()):
            raise ConfigError(f"unknown {self.kind} {name!r}{did_you_mean(name, names)}")
        if name not in self._found:
            if name in (points := self._entry_points()):
                self._found[name] = points[name].load()
            else:
                importlib.import_module(f"{self._where}.{name}")
        return self._found[name]

    def _entry_points(self) -> dict[str, Any]:
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=self._where)}


MODELS: "Registry[type[nn.Module]]" = Registry("model", "cnncli.models")
DATASETS: "Registry[type[Source]]" = Registry("data set", "cnncli.datasets")
OPTIMIZERS: "Registry[Callable[..., Optimizer]]" = Registry("optimizer", "cnncli.training.optimizers")
SCHEDULES: "Registry[Callable[..., Schedule]]" = Registry("schedule", "cnncli.training.schedules")
LOSSES: "Registry[Callable[..., nn.Module]]" = Registry("loss", "cnncli.training.losses")
