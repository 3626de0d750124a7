"""Training as a whole, in one process."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from cnncli import checkpoint as checkpoints
from cnncli import session
from cnncli.config.validation import load_config
from cnncli.errors import CheckpointError, ConfigError, DivergedError, Interrupted
from cnncli.experiment import Experiment
from cnncli.registry import MODELS
from cnncli.run import Run
from tests.networks import TestNet


class Silent:
    """A display that shows nothing, and presses Ctrl-C after an epoch if told so."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.interrupt_after = interrupt_after
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def follow(self, batches: Iterable[Any], num_batches: int, label: str) -> Iterable[Any]:
        return batches

    def epoch(self, row: dict[str, Any], num_epochs: int) -> None:
        if row["epoch"] == self.interrupt_after:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._found, "testnet", TestNet)


def prepared(config: Path, *sets: str, **flags: object) -> Experiment:
    sets = ("model={name: testnet}", "augment={shift: 1, flip: true}", *sets)
    return Experiment.prepare(load_config(config, sets, flags))


def trained(experiment: Experiment, output: Path, display: Silent | None = None) -> tuple[Run, dict[str, Any]]:
    run = Run.create(output, "run")
    return run, session.Session(experiment, run, display or Silent()).train()


def without_times(run: Run) -> list[dict[str, Any]]:
    rows = run.read_history()
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]


def assert_same_state(first: Run, second: Run) -> None:
    one, two = checkpoints.load(first.last), checkpoints.load(second.last)
    torch.testing.assert_close(one.state, two.state, rtol=0, atol=0)
    torch.testing.assert_close(one.weights, two.weights, rtol=0, atol=0)
    assert without_times(first) == without_times(second)
    assert first.steps.read_text() == second.steps.read_text()


def test_the_run_directory_holds_all_that_the_design_says(tiny_config: Path, tmp_path: Path) -> None:
    run, result = trained(prepared(tiny_config), tmp_path / "runs")
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert names == {
        *("config.yaml", "history.jsonl", "steps.jsonl", "metrics.csv", "curves.png", "environment.json"),
        *("checkpoints/last.pt", "checkpoints/best.pt", "checkpoints/last.prev.pt"),
    }
    row = json.loads(run.history.read_text().splitlines()[0])
    assert list(row) == ["epoch", "step", "lr", "seconds", "images_per_second", "train", "val"]
    step = json.loads(run.steps.read_text().splitlines()[0])
    assert list(step) == ["step", "epoch", "lr", "loss"]
    # 60 images, a fifth of each of 4 classes held out: 48 at batch 16 are 3 steps an epoch.
    assert (result["epochs"], result["steps"]) == (2, 6)
    assert list(result) == ["run_dir", "epochs", "steps", "seconds", "best", "test"]
    assert list(result["best"]) == ["epoch", "val"]
    assert list(result["test"]) == ["checkpoint", "loss", "accuracy", "num_images"]
    assert result["test"]["num_images"] == 20


def test_the_resolved_config_repeats_the_run(tiny_config: Path, tmp_path: Path) -> None:
    first, _ = trained(prepared(tiny_config), tmp_path / "a")
    again = Experiment.prepare(load_config(first.config))
    second, _ = trained(again, tmp_path / "b")
    assert_same_state(first, second)
    assert "auto" not in first.config.read_text().replace("# ", "")


@pytest.mark.parametrize(
    "sets",
    [("schedule.name=onecycle", "train.ema=0.9"), ("optimizer.name=adam", "schedule={name: plateau, patience: 0}")],
)
def test_interrupted_and_resumed_equals_uninterrupted(sets: tuple[str, ...], tiny_config: Path, tmp_path: Path) -> None:
    experiment = prepared(tiny_config, *sets, "train.epochs=4")
    whole, _ = trained(experiment, tmp_path / "a")
    with pytest.raises(Interrupted, match="cnn train --resume") as error:
        trained(experiment, tmp_path / "b", Silent(interrupt_after=2))
    assert error.value.exit_code == 130
    parts = Run.open(tmp_path / "b" / "run")
    checkpoint = checkpoints.load(parts.last)
    result = session.Session(experiment, parts, Silent()).train(checkpoint)
    assert_same_state(whole, parts)
    assert result["epochs"] == 4


def test_interrupted_at_the_test_and_resumed_is_tested(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    experiment = prepared(tiny_config)
    _, whole = trained(experiment, tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "score", interrupt)
        with pytest.raises(Interrupted, match="holds the run after 2 epochs"):
            trained(experiment, tmp_path / "b")
    parts = Run.open(tmp_path / "b" / "run")
    result = session.Session(experiment, parts, Silent()).train(checkpoints.load(parts.last))
    assert {**result["test"], "checkpoint": ""} == {**whole["test"], "checkpoint": ""}


def test_one_epoch_and_one_more_equal_two(tiny_config: Path, tmp_path: Path) -> None:
    two, _ = trained(prepared(tiny_config, epochs=2), tmp_path / "a")
    parts, _ = trained(prepared(tiny_config, epochs=1), tmp_path / "b")
    longer = prepared(tiny_config, epochs=2)
    checkpoint = checkpoints.load(parts.last)
    session.check_resume(longer.config, checkpoint)
    session.Session(longer, parts, Silent()).train(checkpoint)
    assert_same_state(two, parts)


def test_a_resumed_run_must_not_differ(tiny_config: Path, tmp_path: Path) -> None:
    run, _ = trained(prepared(tiny_config), tmp_path)
    checkpoint = checkpoints.load(run.last)
    changed = prepared(tiny_config, "optimizer.lr=0.5", "train.log_every=7")
    with pytest.raises(CheckpointError, match=r"optimizer\.lr: was 0\.05, would be 0\.5") as error:
        session.check_resume(changed.config, checkpoint)
    assert "log_every" not in str(error.value)
    onecycle, _ = trained(prepared(tiny_config, "schedule.name=onecycle"), tmp_path)
    longer = prepared(tiny_config, "schedule.name=onecycle", epochs=9)
    with pytest.raises(CheckpointError, match=r"train\.epochs"):
        session.check_resume(longer.config, checkpoints.load(onecycle.last))


def test_the_test_repeats_what_evaluating_the_checkpoint_says(tiny_config: Path, tmp_path: Path) -> None:
    _, result = trained(prepared(tiny_config, "train.ema=0.5"), tmp_path)
    checkpoint = checkpoints.load(result["test"]["checkpoint"])
    experiment = Experiment.of_checkpoint(checkpoint)
    loader = experiment.eval_loader("test")
    assert loader is not None
    metrics = experiment.score(checkpoint, loader)
    assert (metrics.loss, metrics.accuracy) == (result["test"]["loss"], result["test"]["accuracy"])


def test_the_best_checkpoint_has_the_scores_of_the_best_epoch(tiny_config: Path, tmp_path: Path) -> None:
    run, result = trained(prepared(tiny_config, epochs=6), tmp_path)
    rows = run.read_history()
    assert result["best"]["val"]["accuracy"] == max(row["val"]["accuracy"] for row in rows)
    checkpoint = checkpoints.load(run.best)
    assert checkpoint.state["progress"]["epoch"] == result["best"]["epoch"]
    experiment = Experiment.of_checkpoint(checkpoint)
    loader = experiment.eval_loader("val")
    assert loader is not None
    assert experiment.score(checkpoint, loader).loss == result["best"]["val"]["loss"]


def test_validating_on_test_is_never_called_val(tiny_config: Path, tmp_path: Path) -> None:
    sets = ("data.validation=0", "train.validate_on=test", "train.report=last")
    run, result = trained(prepared(tiny_config, *sets), tmp_path)
    rows = run.read_history()
    assert [row["val"] for row in rows] == [None, None]
    assert rows[-1]["test"]["accuracy"] == result["test"]["accuracy"]
    assert result["best"] is None
    assert result["test"]["checkpoint"] == str(run.last)
    assert not run.best.exists()


def test_best_without_a_validation_split_is_refused(tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set data\.validation|train\.report"):
        prepared(tiny_config, "data.validation=0")


def test_a_run_that_diverges_keeps_its_last_checkpoint(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        trained(prepared(tiny_config, "optimizer.lr=1000", epochs=50), tmp_path)
    checkpoint = checkpoints.load(tmp_path / "run" / "checkpoints" / "last.pt")
    assert all(torch.isfinite(value).all() for value in checkpoint.weights.values())


def test_saving_less_often_still_saves_the_last_epoch(tiny_config: Path, tmp_path: Path) -> None:
    sets = ("checkpoint.every_epochs=100", "data.validation=0", "train.report=last")
    run, _ = trained(prepared(tiny_config, *sets, epochs=3), tmp_path)
    assert checkpoints.load(run.last).state["progress"]["epoch"] == 3


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("model.num_classes=3",), r"--set model.*model\.num_classes: is 3, but npz has 4"),
        (("model={name: lenet5, image_size: 28}",), r"model\.image_size: is 28, but npz has 12"),
        (("model={name: alexnet}",), r"alexnet does not fit npz: images of 12×12 are too small"),
        (("model={name: lenet5_1998}",), r"lenet5_1998 trains with rbf_map, not cross_entropy"),
        (("loss={name: rbf_map}",), r"testnet trains with cross_entropy, not rbf_map"),
        (("data.mean=[0.1, 0.2]",), r"data\.mean: 2 values, but images of npz have 1 channels"),
    ],
)
def test_what_contradicts_the_data_is_named(tiny_config: Path, sets: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepared(tiny_config, *sets)


def test_dry_run_sees_each_split(tiny_config: Path) -> None:
    result = session.dry_run(prepared(tiny_config), Silent())
    assert result["train"]["batch"] == [16, 1, 12, 12]
    assert (result["train"]["num_images"], result["val"]["num_images"], result["test"]["num_images"]) == (48, 12, 20)


def test_other_images_are_scored_with_classes_matched_by_name(
    tiny_config: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    """Labels numbered otherwise, names the same: the accuracy is that of the original test split."""
    import numpy as np

    run, result = trained(prepared(tiny_config, epochs=4), tmp_path)
    with np.load(tiny_npz) as arrays:
        images, labels = arrays["test_images"], arrays["test_labels"]
    turned = tmp_path / "turned.npz"
    np.savez(turned, test_images=images, test_labels=3 - labels, classes=np.array(["3", "2", "1", "0"]))
    checkpoint = checkpoints.load(run.best)
    experiment = Experiment.of_checkpoint(checkpoint, data=turned)
    loader = experiment.eval_loader("test")
    assert loader is not None
    metrics = experiment.score(checkpoint, loader)
    assert (metrics.accuracy, metrics.loss) == (result["test"]["accuracy"], result["test"]["loss"])


def test_a_share_that_leaves_nothing_to_train_on_is_named(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set data\.validation: data\.validation: leaves no image of class 0"):
        trained(prepared(tiny_config, "data.validation=0.999"), tmp_path)


def test_a_shift_stays_within_the_image(tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match=r"augment\.shift: must be below the 12 pixels of a side"):
        prepared(tiny_config, "augment.shift=12")
