"""Names without imports."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import cnncli
from cnncli.errors import ConfigError
from cnncli.registry import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES


def test_names_are_those_of_the_files() -> None:
    for registry, folder in ((MODELS, "models"), (DATASETS, "datasets")):
        files = (Path(cnncli.__file__).parent / folder).glob("[a-z]*.py")
        assert registry.names() == sorted(path.stem for path in files)


def test_listing_models_and_data_sets_imports_no_torch() -> None:
    script = (
        "import sys; from cnncli.registry import DATASETS, MODELS; MODELS.names(), DATASETS.names();"
        "print({'torch', 'pydantic', 'numpy'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "set()\n"


def test_short_things_share_a_file_and_go_by_their_functions() -> None:
    assert OPTIMIZERS.names() == ["adam", "adamw", "rmsprop", "sgd"]
    assert SCHEDULES.names() == ["constant", "cosine", "onecycle", "plateau", "step"]
    assert LOSSES.names() == ["cross_entropy", "rbf_map"]


@pytest.mark.parametrize("registry", [MODELS, DATASETS, OPTIMIZERS, SCHEDULES, LOSSES])
def test_everything_listed_can_be_had(registry: object) -> None:
    for name in registry.names():  # type: ignore[attr-defined]
        assert callable(registry.get(name))  # type: ignore[attr-defined]


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all() -> None:
    with pytest.raises(ConfigError, match=r"unknown model 'TinyVG'; did you mean tinyvgg\?"):
        MODELS.get("TinyVG")
    with pytest.raises(ConfigError, match="unknown loss 'xyz'; known are cross_entropy, rbf_map"):
        LOSSES.get("xyz")


def test_other_distributions_add_theirs_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("theirs", "collections:OrderedDict", "cnncli.models")

    def entry_points(group: str) -> list[importlib.metadata.EntryPoint]:
        return [point] if group == "cnncli.models" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    monkeypatch.setattr(MODELS, "_found", {})
    assert "theirs" in MODELS.names()
    assert MODELS.get("theirs").__name__ == "OrderedDict"
    assert "theirs" not in DATASETS.names()
