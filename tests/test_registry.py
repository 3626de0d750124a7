"""Registries: names without imports, things when asked for, and those of other packages."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cnncli.datasets
import cnncli.models
from cnncli.errors import ConfigError, did_you_mean
from cnncli.registry import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, Registry

IN_PACKAGES = [(registry, name) for registry in (MODELS, DATASETS) for name in registry.names()]
IN_MODULES = [(registry, name) for registry in (OPTIMIZERS, SCHEDULES, LOSSES) for name in registry.names()]


def files_of(package: Any) -> list[str]:
    (folder,) = package.__path__
    return sorted(path.stem for path in Path(folder).glob("*.py") if path.stem != "__init__")


def test_names_are_those_of_the_files() -> None:
    assert MODELS.names() == files_of(cnncli.models)
    assert DATASETS.names() == files_of(cnncli.datasets)
    assert (MODELS.families(), DATASETS.families(), LOSSES.families()) == (["torchvision"], [], [])
    assert MODELS.choice() == sorted([*MODELS.names(), "torchvision/…"])


def test_the_names_that_are_promised() -> None:
    assert set(MODELS.names()) >= {"lenet5", "lenet5_1998", "basic_cnn", "tinyvgg", "alexnet"}
    assert set(DATASETS.names()) >= {"mnist", "shapes"}
    assert set(OPTIMIZERS.names()) >= {"sgd", "adam", "adamw", "rmsprop"}
    assert set(SCHEDULES.names()) >= {"constant", "step", "cosine", "onecycle", "plateau"}
    assert set(LOSSES.names()) >= {"cross_entropy", "rbf_map"}


def test_listing_models_and_data_sets_imports_nothing_heavy() -> None:
    script = (
        "import json, sys\n"
        "from cnncli.registry import DATASETS, MODELS\n"
        "names = MODELS.choice() + DATASETS.choice()\n"
        "print(json.dumps([names, sorted(sys.modules)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True)
    names, modules = json.loads(done.stdout)
    assert "torchvision/…" in names
    assert {"lenet5", "mnist"} <= set(names)
    assert "cnncli.registry" in modules
    assert not {"torch", "torchvision", "numpy", "pydantic", "cnncli.models.lenet5"} & set(modules)


@pytest.mark.parametrize(("registry", "name"), IN_PACKAGES, ids=lambda value: getattr(value, "kind", value))
def test_a_name_is_that_of_the_file(registry: Registry[Any], name: str) -> None:
    thing = registry.get(name)
    assert thing.__module__.rpartition(".")[2] == name
    assert registry.get(name) is thing


@pytest.mark.parametrize(("registry", "name"), IN_MODULES, ids=lambda value: getattr(value, "kind", value))
def test_in_a_table_a_name_is_that_of_the_function(registry: Registry[Any], name: str) -> None:
    assert registry.get(name).__name__ == name


def test_register_returns_the_thing_unchanged() -> None:
    registry: Registry[Any] = Registry("thing", "tests")

    class Thing:
        pass

    assert registry.register(Thing) is Thing
    assert registry.get("test_registry") is Thing  # this file's name


@pytest.mark.parametrize(
    ("registry", "name", "message"),
    [
        (MODELS, "lenet", "unknown model 'lenet'; did you mean lenet5"),
        (MODELS, "LeNet5", "unknown model 'LeNet5'; did you mean lenet5"),
        (MODELS, "", "unknown model ''; known are alexnet, basic_cnn, lenet5"),
        (MODELS, "__init__", "unknown model '__init__'; known are alexnet, basic_cnn, lenet5"),
        (MODELS, "../cli", "unknown model '../cli'; known are alexnet, basic_cnn, lenet5"),
        (MODELS, "torchvision", "unknown model 'torchvision'; did you mean torchvision/…?"),
        (MODELS, "resnet18", "unknown model 'resnet18'; did you mean torchvision/resnet18?"),
        (MODELS, "torchvision/resnet19", "unknown model 'torchvision/resnet19' of torchvision; did you mean resnet1"),
        (
            MODELS,
            "torchvision/__init__",
            "unknown model 'torchvision/__init__' of torchvision; known are alexnet, conv",
        ),
        (MODELS, "lenet5/resnet18", "unknown model 'lenet5/resnet18'; did you mean "),
        (DATASETS, "mnits", "unknown data set 'mnits'; did you mean mnist?"),
        (OPTIMIZERS, "Adam", "unknown optimizer 'Adam'; did you mean adam or adamw?"),
        (OPTIMIZERS, "torch", "unknown optimizer 'torch'; known are adam, adamw, rmsprop, sgd"),
        (SCHEDULES, "Schedule", "unknown schedule 'Schedule'; known are constant, cosine, onecycle, plateau, step"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(registry: Registry[Any], name: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        registry.get(name)
    assert str(refused.value).startswith(message)


def test_other_packages_add_things_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point is loaded when it is asked for, never when it is listed."""
    loaded = []

    class Point:
        name = "resnet_of_others"

        def load(self) -> str:
            loaded.append(self.name)
            return "a network"

    def entry_points(*, group: str) -> list[Point]:
        return [Point()] if group == "cnncli.models" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry: Registry[Any] = Registry("model", "cnncli.models")
    assert registry.names() == sorted([*files_of(cnncli.models), "resnet_of_others"])
    assert loaded == []
    assert registry.get("resnet_of_others") == "a network"
    assert registry.get("resnet_of_others") == "a network"
    assert loaded == ["resnet_of_others"]
    assert "resnet_of_others" not in DATASETS.names()
    with pytest.raises(ConfigError, match=r"did you mean resnet_of_others\?"):
        registry.get("resnet_of_other")


def test_did_you_mean() -> None:
    assert did_you_mean("momentun", ["momentum", "lr"]) == "; did you mean momentum?"
    assert did_you_mean("LR", ["momentum", "lr"]) == "; did you mean lr?"
    assert did_you_mean("xyz", ["momentum", "lr"]) == "; known are lr, momentum"
    assert did_you_mean("xyz", []) == ""
