"""How a run begins, goes on, or is only tried."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from cnncli import checkpoint as checkpoints
from cnncli import launch
from cnncli.config.validation import load_config
from cnncli.errors import CheckpointError, ConfigError, DataError, RunBusyError
from cnncli.registry import MODELS
from cnncli.run import Run
from tests.networks import TestNet
from tests.test_session import Silent


def test_a_dry_run_sees_each_split_and_writes_nothing(tiny_config: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = launch.dry_run(load_config(tiny_config), None, Silent())
    assert result["train"]["batch"] == [16, 1, 12, 12]
    assert (result["train"]["num_images"], result["val"]["num_images"], result["test"]["num_images"]) == (48, 12, 20)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_begins_goes_on_and_is_done_in_the_directory_that_is_named(tiny_config: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "mine")
    config, longer = (load_config(tiny_config, (), {"epochs": epochs}) for epochs in (1, 2))
    launch.train(config, run, Silent())
    assert [row["epoch"] for row in run.read_history()] == [1]
    first = launch.train(longer, run, Silent())
    again = launch.train(longer, run, Silent())
    assert [row["epoch"] for row in run.read_history()] == [1, 2]
    assert again["test"] == first["test"]
    resumed = run.read_environment()["resumed"]
    assert [(row["epoch"], row["step"], row["changes"]) for row in resumed] == [
        (1, 3, {"train.epochs": [1, 2]}),
        (2, 6, {}),
    ]
    assert load_config(run.config).train.epochs == 2


def test_a_damaged_checkpoint_gives_way_and_is_not_kept(tiny_config: Path, tmp_path: Path) -> None:
    """Or the next save would make it the generation before."""
    run, display = Run(tmp_path / "mine"), Silent()
    launch.train(load_config(tiny_config), run, Silent())
    whole = checkpoints.load(run.last)
    run.last.write_bytes(run.last.read_bytes()[:1000])
    launch.train(load_config(run.config), run, display)
    assert display.notes[0].startswith(f"warning: {run.last}: ")
    assert display.notes[-1] == "resumed after 1 epoch, 3 steps"
    for path in (run.last, checkpoints.previous(run.last)):
        checkpoints.load(path)
    torch.testing.assert_close(checkpoints.load(run.last).weights, whole.weights, rtol=0, atol=0)


def test_the_best_of_a_run_that_ended_before_it_was_linked_is_linked(tiny_config: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "mine")
    launch.train(load_config(tiny_config, (), {"epochs": 1}), run, Silent())
    run.best.unlink()
    result = launch.train(load_config(tiny_config, (), {"epochs": 1}), run, Silent())
    assert result["test"]["checkpoint"] == str(run.best)
    assert run.best.read_bytes() == run.last.read_bytes()


def test_fewer_epochs_than_were_done_are_refused(tiny_config: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "mine")
    launch.train(load_config(tiny_config), run, Silent())
    with pytest.raises(CheckpointError, match="the run is in epoch 2 already"):
        launch.train(load_config(tiny_config, (), {"epochs": 1}), run, Silent())
    assert load_config(run.config).train.epochs == 2


def test_a_directory_that_is_no_runs_is_left_alone(tiny_config: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis" / "chapters" / "one.tex"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("It was a dark and stormy night.")
    with pytest.raises(ConfigError, match="thesis is no run directory, and not empty; choose another --name"):
        launch.train(load_config(tiny_config), Run(tmp_path / "thesis"), Silent())
    assert thesis.exists()


def test_a_run_without_its_checkpoints_begins_anew(tiny_config: Path, tmp_path: Path) -> None:
    """And its history with it; but what ends before the first save takes nothing away."""
    run = Run(tmp_path / "mine")
    launch.train(load_config(tiny_config), run, Silent())
    shutil.rmtree(run.last.parent)
    before = run.history.read_bytes()
    with pytest.raises(DataError):
        launch.train(load_config(tiny_config, ["data.path=missing.npz"]), run, Silent())
    assert run.history.read_bytes() == before
    launch.train(load_config(tiny_config), run, Silent())
    assert [row["epoch"] for row in run.read_history()] == [1, 2]


def test_a_change_that_measures_something_else_is_gone_on_from_twice(tiny_config: Path, tmp_path: Path) -> None:
    """The table gets a column more; and what was accepted need not be accepted again."""
    run = Run(tmp_path / "mine")
    launch.train(load_config(tiny_config), run, Silent())
    changed = load_config(run.config, ["runtime.precision=fp16", "train.ema=0.9", "train.epochs=3"])
    launch.train(changed, run, Silent(), allow_changes=True)
    launch.train(load_config(run.config, ["train.epochs=4"]), run, Silent())
    header, *rows = csv.reader(run.metrics.read_text().splitlines())
    assert "overflows" in header
    assert [len(row) for row in rows] == [len(header)] * 4


@pytest.mark.parametrize(
    ("change", "kept"), [("optimizer={name: adam}", "schedule"), ("schedule={name: plateau}", "optimizer")]
)
def test_changes_are_refused_or_allowed_and_noted(change: str, kept: str, tiny_config: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "mine")
    launch.train(load_config(tiny_config), run, Silent())
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path.name != ".lock"}
    changed = load_config(run.config, [change, "train.epochs=3"])
    with pytest.raises(CheckpointError, match=rf"\n  {change.partition('=')[0]}\.name: was "):
        launch.train(changed, run, Silent())
    assert {path: path.read_bytes() for path in before} == before
    launch.train(changed, run, Silent(), allow_changes=True)
    assert [row["epoch"] for row in run.read_history()] == [1, 2, 3]
    section = change.partition("=")[0]
    assert f"{section}.name" in json.loads(run.environment.read_text())["resumed"][0]["changes"]
    assert checkpoints.load(run.last).config[section]["name"] == getattr(changed, section).name


def test_weights_of_another_network_fit_no_change(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS._found, "testnet", TestNet)
    run = Run(tmp_path / "mine")
    launch.train(load_config(tiny_config), run, Silent())
    changed = load_config(run.config, ["model={name: testnet}"])
    with pytest.raises(CheckpointError, match="the checkpoint's state does not fit this run: "):
        launch.train(changed, run, Silent(), allow_changes=True)


def test_one_that_another_process_began_meanwhile_is_left_alone(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "mine")
    directory = launch._directory

    def late(*arguments: object) -> Run:
        launch_config = load_config(tiny_config, (), {"epochs": 1})
        monkeypatch.setattr(launch, "_directory", directory)
        launch.train(launch_config, Run(run.path), Silent())
        return directory(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(launch, "_directory", late)
    with pytest.raises(RunBusyError, match="begun by another process meanwhile"):
        launch.train(load_config(tiny_config), run, Silent())
    assert len(run.read_history()) == 1
