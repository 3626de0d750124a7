"""Training as a whole, in one process."""

import json
import signal
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from cnncli import checkpoint as checkpoints
from cnncli import session
from cnncli.checkpoint import Checkpoint
from cnncli.config.validation import load_config
from cnncli.errors import ConfigError, DivergedError, Interrupted
from cnncli.experiment import Experiment
from cnncli.history import best_rows, is_hopeless
from cnncli.registry import MODELS
from cnncli.run import Run
from cnncli.scoring import experiment_of, score
from cnncli.session import Session
from cnncli.training.loop import Watch
from cnncli.training.state import TrainState
from tests.networks import TestNet


class Silent:
    """A display that shows nothing."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def follow(self, batches: Iterable[Any], num_batches: int, label: str) -> Iterable[Any]:
        return batches

    def epoch(self, row: dict[str, Any], num_epochs: int) -> None:
        pass


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._found, "testnet", TestNet)


def prepared(config: Path, *sets: str, **flags: object) -> Experiment:
    sets = ("model={name: testnet}", "augment={shift: 1, flip: true}", *sets)
    return Experiment.prepare(load_config(config, sets, flags))


def trained(experiment: Experiment, output: Path) -> tuple[Run, dict[str, Any]]:
    run = Run.create(output, "run")
    return run, Session(experiment, run, Silent()).train()


def stopped(experiment: Experiment, run: Run, after: int, resumed: Checkpoint | None = None) -> bool:
    """Train, and press Ctrl-C at a pause: there is one after each step, and one before each batch that is scored.

    Return whether the run had so many.
    """
    stopping = Session(experiment, run, Silent())
    pause, pauses = stopping._pause, count(1)

    def pausing(state: TrainState) -> None:
        if next(pauses) == after:
            stopping.signals.stop = signal.SIGINT
        pause(state)

    stopping._pause = pausing  # type: ignore[method-assign]
    with suppress(Interrupted):
        stopping.train(resumed)
    return stopping.signals.stop != 0


def without_times(run: Run) -> list[dict[str, Any]]:
    rows = run.read_history()
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]


def assert_same_state(first: Run, second: Run) -> None:
    one, two = checkpoints.load(first.last), checkpoints.load(second.last)
    for state in (one.state, two.state):
        del state["progress"]["seconds"]
    torch.testing.assert_close(one.state, two.state, rtol=0, atol=0)
    torch.testing.assert_close(one.weights, two.weights, rtol=0, atol=0)
    assert without_times(first) == without_times(second)
    assert [row["epoch"] for row in two.history] == [row["epoch"] for row in one.history]
    assert first.steps.read_text() == second.steps.read_text()
    names = [[line.split(",")[0] for line in run.metrics.read_text().splitlines()] for run in (first, second)]
    assert names[0] == names[1]


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


EVERYTHING = ("schedule.name=onecycle", "train.ema=0.9", "optimizer.name=adam", "train.epochs=3")


@pytest.mark.parametrize(
    "sets",
    [
        EVERYTHING,
        (
            "schedule={name: plateau, patience: 0}",
            "train.epochs=3",
            "data.workers=2",
            "augment.transforms=[{name: RandomRotation, degrees: 9}]",
        ),
    ],
    ids=["resident", "streamed"],
)
def test_stopped_anywhere_and_resumed_equals_uninterrupted(
    sets: tuple[str, ...], tiny_config: Path, tmp_path: Path
) -> None:
    """After each step, in each validation, and in the test; two workers go on where none left off."""
    experiment = prepared(tiny_config, *sets)
    whole, result = trained(experiment, tmp_path / "a")
    for after in count(1):
        parts = Run.create(tmp_path / "b", "run")
        was_stopped = stopped(experiment, parts, after)
        if was_stopped:
            other = prepared(tiny_config, *sets, "data.workers=0")
            again = Session(other, parts, Silent()).train(checkpoints.load(parts.last))
            assert again["epochs"] == 3
            assert {**again["test"], "checkpoint": ""} == {**result["test"], "checkpoint": ""}
        assert_same_state(whole, parts)
        if not was_stopped:
            break
    assert after == 3 * (3 + 1) + 1 + 1  # three steps and a batch to validate an epoch, a batch to test


def forget_progress(state: dict[str, Any], first: dict[str, Any]) -> None:
    state["progress"]["position"] = first["progress"]["position"]


def forget_buffers(state: dict[str, Any], first: dict[str, Any]) -> None:
    state["model"] |= {key: value for key, value in first["model"].items() if "running" in key}


@pytest.mark.parametrize("why", ["minutes", "a signal"])
def test_it_is_saved_in_between_when_that_is_due(
    why: str, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes five minutes on at each look, or when asked at each of the first five pauses."""
    clock = count(0, 300)
    monkeypatch.setattr(session.time, "monotonic", lambda: next(clock))
    sets = ("checkpoint.every_minutes=12",) if why == "minutes" else ()
    training = Session(prepared(tiny_config, *sets), Run.create(tmp_path, "run"), Silent())
    saved: list[tuple[int, int]] = []
    save, pause = training._save, training._pause

    def saving(state: TrainState) -> None:
        saved.append((state.epoch, state.position))
        save(state)

    def pausing(state: TrainState) -> None:
        training.signals.save = why == "a signal"
        pause(state)
        assert not training.signals.save

    training._save, training._pause = saving, pausing  # type: ignore[method-assign]
    training.train()
    if why == "a signal":
        assert saved == [(0, 0), (0, 16), (0, 32), (0, 48), (1, 0), (1, 16), (1, 32), (1, 48), (2, 0)]
        assert "saved after 0 epochs and 16 images of the next, 1 step" in training.display.notes  # type: ignore[attr-defined]
    else:
        assert {(0, 0), (1, 0), (2, 0)} < set(saved)
        assert len(saved) < 9


FORGETTING: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "nothing": lambda state, first: None,
    "plan position": forget_progress,
    "batch-norm buffers": forget_buffers,
    "random states": lambda state, first: state["ranks"][0].update(random=first["ranks"][0]["random"]),
    "meters": lambda state, first: state["ranks"][0].update(meter=first["ranks"][0]["meter"]),
    **{
        part: lambda state, first, part=part: state.update({part: first[part]})  # type: ignore[misc]
        for part in ("model", "optimizer", "schedule", "scaler", "ema")
    },
}


@pytest.mark.parametrize("forgotten", FORGETTING)
def test_each_part_of_the_state_is_needed(forgotten: str, tiny_config: Path, tmp_path: Path) -> None:
    """Whichever is taken from before the first step instead, the run comes to something else."""
    sets = ("schedule={name: plateau, patience: 0}", "train.ema=0.9", "runtime.precision=fp16", "train.epochs=3")
    experiment = prepared(tiny_config, *sets, "optimizer.lr=1e-9")  # so small that each epoch reduces it
    whole, _ = trained(experiment, tmp_path / "a")
    parts = Run.create(tmp_path / "b", "run")
    assert stopped(experiment, parts, after=2 * (3 + 1) + 2)  # in the third epoch
    first = Session(experiment, Run.create(tmp_path / "c", "run"), Silent())
    with experiment.runtime.guard(1):
        first._begin(experiment.build_state(experiment.train_loader()))
    resumed = checkpoints.load(parts.last)
    FORGETTING[forgotten](resumed.state, checkpoints.load(first.run.last).state)
    Session(experiment, parts, Silent()).train(resumed)
    with nullcontext() if forgotten == "nothing" else pytest.raises(AssertionError):
        assert_same_state(whole, parts)


def test_one_epoch_and_one_more_equal_two(tiny_config: Path, tmp_path: Path) -> None:
    two, _ = trained(prepared(tiny_config, epochs=2), tmp_path / "a")
    parts, _ = trained(prepared(tiny_config, epochs=1), tmp_path / "b")
    longer = prepared(tiny_config, epochs=2)
    checkpoint = checkpoints.load(parts.last)
    Session(longer, parts, Silent()).train(checkpoint)
    assert_same_state(two, parts)


def test_the_test_repeats_what_evaluating_the_checkpoint_says(tiny_config: Path, tmp_path: Path) -> None:
    _, result = trained(prepared(tiny_config, "train.ema=0.5"), tmp_path)
    checkpoint = checkpoints.load(result["test"]["checkpoint"])
    experiment = experiment_of(checkpoint)
    loader = experiment.eval_loader("test")
    assert loader is not None
    metrics = score(experiment, checkpoint, loader, Watch())
    assert (metrics.loss, metrics.accuracy) == (result["test"]["loss"], result["test"]["accuracy"])


def test_the_best_checkpoint_has_the_scores_of_the_best_epoch(tiny_config: Path, tmp_path: Path) -> None:
    run, result = trained(prepared(tiny_config, epochs=6), tmp_path)
    rows = run.read_history()
    assert result["best"]["val"]["accuracy"] == max(row["val"]["accuracy"] for row in rows)
    checkpoint = checkpoints.load(run.best)
    assert checkpoint.state["progress"]["epoch"] == result["best"]["epoch"]
    experiment = experiment_of(checkpoint)
    loader = experiment.eval_loader("val")
    assert loader is not None
    assert score(experiment, checkpoint, loader, Watch()).loss == result["best"]["val"]["loss"]


def test_training_ends_early_and_stays_ended(tiny_config: Path, tmp_path: Path) -> None:
    """After as many epochs without a better one as train.patience says; a run that is more patient goes on."""
    sets = ("train.patience=2", "optimizer.lr=0.3", "checkpoint.every_epochs=100")
    experiment = prepared(tiny_config, *sets, epochs=40)
    run, result = trained(experiment, tmp_path)
    rows = run.read_history()
    assert [is_hopeless(rows[:end], 2) for end in range(1, len(rows) + 1)] == [False] * (len(rows) - 1) + [True]
    assert result["epochs"] == len(rows) < 40
    last = checkpoints.load(run.last)
    assert last.state["progress"]["epoch"] == len(rows)
    again = Session(experiment, run, Silent())
    assert again.train(last)["test"] == result["test"]
    assert again.display.notes[-1] == "ended early: 2 epochs without a better one"  # type: ignore[attr-defined]
    assert run.read_history() == rows
    patient = prepared(tiny_config, *sets, "train.patience=3", epochs=40)
    assert Session(patient, run, Silent()).train(last)["epochs"] > len(rows)


def test_several_of_the_best_epochs_are_kept(tiny_config: Path, tmp_path: Path) -> None:
    """Each with its epoch in it; those that fall out go, and what is called otherwise stays."""
    sets = ("checkpoint.keep_best=3", "optimizer.lr=0.3", "checkpoint.every_epochs=100")
    run, _ = trained(prepared(tiny_config, *sets, epochs=8), tmp_path / "whole")
    best = [row["epoch"] for row in best_rows(run.read_history(), 3)]
    kept = {path.name: checkpoints.load(path) for path in run.last.parent.glob("epoch-*.pt")}
    assert {name: checkpoint.state["progress"]["epoch"] for name, checkpoint in kept.items()} == {
        f"epoch-{number}.pt": number for number in best
    }
    assert checkpoints.load(run.best).state["progress"]["epoch"] == best[0]
    last = checkpoints.load(run.last)
    mine = run.last.parent / "epoch-3-mine.pt"
    mine.touch()
    fewer = prepared(tiny_config, *sets, "checkpoint.keep_best=2", epochs=9)
    Session(fewer, run, Silent()).train(last)
    left = {f"epoch-{row['epoch']}.pt" for row in best_rows(run.read_history(), 2)}
    assert {path.name for path in run.last.parent.glob("epoch-*.pt")} == {*left, mine.name}


@pytest.mark.parametrize("setting", ["train.patience=1", "checkpoint.keep_best=2"])
def test_what_looks_for_the_best_needs_a_validation_split(setting: str, tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match=f"--set {setting.partition('=')[0]}: .* needs a validation split"):
        prepared(tiny_config, "data.validation=0", "train.report=last", setting)


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
    experiment = experiment_of(checkpoint, data=turned)
    loader = experiment.eval_loader("test")
    assert loader is not None
    metrics = score(experiment, checkpoint, loader, Watch())
    assert (metrics.accuracy, metrics.loss) == (result["test"]["accuracy"], result["test"]["loss"])


def test_a_share_that_leaves_nothing_to_train_on_is_named(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set data\.validation: data\.validation: leaves no image of class 0"):
        trained(prepared(tiny_config, "data.validation=0.999"), tmp_path)


def test_a_shift_stays_within_the_image(tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match=r"augment\.shift: must be below the 12 pixels of a side"):
        prepared(tiny_config, "augment.shift=12")
