"""One config with several seeds."""

import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

from cnncli import checkpoint as checkpoints
from cnncli import launch, series
from cnncli.config.validation import load_config
from cnncli.errors import ConfigError, DivergedError, Interrupted
from cnncli.run import Run
from tests.test_session import Silent, without_times

AGAIN = "cnn train -c tiny.yaml --seeds 3 --resume auto"


def trained(config: Path, num_seeds: int, **options: Any) -> dict[str, Any]:
    settings = load_config(config, (), {"output": str(config.parent / "runs"), "seed": 5})
    return series.train(settings, num_seeds, Silent(), AGAIN, **options)


def test_each_seed_is_trained_as_if_alone(tiny_config: Path, tmp_path: Path) -> None:
    """And what they come to together is what statistics says."""
    result = trained(tiny_config, 2)
    assert [Path(run["run_dir"]).name for run in result["runs"]] == ["tiny-seed5", "tiny-seed6"]
    alone = Run(tmp_path / "alone")
    launch.train(load_config(tiny_config, (), {"seed": 6}), alone, Silent())
    second = Run(tmp_path / "runs" / "tiny-seed6")
    assert without_times(second) == without_times(alone)
    weights = [checkpoints.load(run.last).weights for run in (second, alone)]
    torch.testing.assert_close(*weights, rtol=0, atol=0)
    accuracies = [run["test"]["accuracy"] for run in result["runs"]]
    assert result["test_accuracy"] == {
        "n": 2,
        "mean": statistics.mean(accuracies),
        "std": statistics.stdev(accuracies),
        "low": min(accuracies),
        "high": max(accuracies),
    }
    assert result["median_seconds"] == statistics.mean(run["seconds"] for run in result["runs"])


def test_a_series_that_was_stopped_goes_on_and_trains_nothing_twice(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, begun = launch.train, list[Path]()

    def stopping(config: Any, run: Run, *rest: Any) -> dict[str, Any]:
        begun.append(run.path)
        if len(begun) == 2:
            raise Interrupted("stopped after 1 epoch")
        return train(config, run, *rest)

    monkeypatch.setattr(launch, "train", stopping)
    with pytest.raises(Interrupted) as stop:
        trained(tiny_config, 3)
    assert str(stop.value) == f"stopped after 1 epoch\nThe series goes on with: {AGAIN}"
    first = Run(begun[0])
    written = first.last.stat().st_mtime_ns
    with pytest.raises(ConfigError, match=r"tiny-seed5 is there already; go on with it by --resume auto"):
        trained(tiny_config, 3)
    result = trained(tiny_config, 3, resume=True)
    assert [run["epochs"] for run in result["runs"]] == [2, 2, 2]
    assert first.last.stat().st_mtime_ns == written
    assert [run["seconds"] is None for run in result["runs"]] == [True, False, False]
    assert result["test_accuracy"]["n"] == 3


def test_a_seed_that_diverges_keeps_no_other_from_being_trained(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = launch.train

    def diverging(config: Any, *rest: Any) -> dict[str, Any]:
        if config.train.seed in diverges:
            raise DivergedError(step=3, lr=0.1, steps_ago=0)
        return train(config, *rest)

    monkeypatch.setattr(launch, "train", diverging)
    diverges = {5}
    first, second = (result := trained(tiny_config, 2))["runs"]
    assert (first["test"], second["problem"], result["test_accuracy"]["n"]) == (None, None, 1)
    assert first["problem"].startswith("the loss or a gradient was not finite at step 3")
    diverges = {5, 6}
    with pytest.raises(ConfigError, match="none of 2 seeds could be trained; the last one: the loss or a gradient"):
        trained(tiny_config, 2, resume=True)


def test_seeds_and_names_stay_within_their_bounds(tiny_config: Path) -> None:
    settings = load_config(tiny_config, (), {"seed": 2**32 - 1})
    assert series.of_seed(settings, 7).train.epochs == settings.train.epochs
    with pytest.raises(ConfigError, match=r"^--seeds: train\.seed: must be below 4294967296, got 4294967296$"):
        series.of_seed(settings, 2**32)
    settings = load_config(tiny_config, (), {"name": "n" * 100})
    with pytest.raises(ConfigError, match=r"train\.name: must be text of at most 100 characters"):
        series.of_seed(settings, 0)


def test_without_validation_and_test_there_is_nothing_to_gather() -> None:
    assert series.together([{"best": None, "test": None, "seconds": None}]) == {
        "val_accuracy": None,
        "test_accuracy": None,
        "median_seconds": None,
    }
