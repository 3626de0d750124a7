"""Event files, read with TensorBoard's own reader."""

import logging
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnncli import checkpoint as checkpoints
from cnncli import launch
from cnncli.config.validation import load_config
from cnncli.display import Display
from cnncli.errors import Interrupted, MachineError
from cnncli.event_files import NAME
from cnncli.experiment import Experiment
from cnncli.run import Run
from cnncli.session import Session
from cnncli.training.state import TrainState

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of the purge, which is meant

Points = dict[str, list[tuple[int, float]]]  # of each tag, the steps and values
ON = "logging.tensorboard=true"


def read(reader: Any) -> Points:
    reader.Reload()
    tags = reader.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in tags}


def reader_of(run: Run) -> Any:
    return accumulators.EventAccumulator(str(run.tensorboard), size_guidance={"scalars": 0})  # 0 for all


def noted(run: Run, result: dict[str, Any]) -> Points:
    """Return what event files should hold, in float32 as they do, by the run's own files and its result."""
    points: Points = {}

    def add(tag: str, step: int, value: float) -> None:
        points.setdefault(tag, []).append((step, float(np.float32(value))))

    for row in run.read_steps():
        add("loss/step", row["step"], row["loss"])
        add("lr", row["step"], row["lr"])
    for row in [*run.read_history(), {"step": result["steps"], "test": result["test"]}]:
        for split in ("train", "val", "test"):
            for measure in ("loss", "accuracy") if row.get(split) else ():
                add(f"{measure}/{split}", row["step"], row[split][measure])
    return points


def train(config: Path, run: Run, *sets: str, stop_after: int = 0) -> dict[str, Any]:
    """Train as ``cnn train`` does; Ctrl-C at the pause after a step."""
    resumed = checkpoints.load(run.last) if run.is_begun else None
    session = Session(Experiment.prepare(load_config(config, sets), resumed=resumed), run, Display())
    pause, pauses = session._pause, count(1)

    def pausing(state: TrainState) -> None:
        if next(pauses) == stop_after:
            session.signals.stop = signal.SIGINT
        pause(state)

    session._pause = pausing  # type: ignore[method-assign]
    return session.train(resumed)


def test_event_files_are_what_the_run_notes_and_stay_so_when_it_goes_on(tiny_config: Path, tmp_path: Path) -> None:
    """Three steps an epoch: stopped after five, events lost as by a kill, and stale ones of steps done again."""
    run = Run.create(tmp_path, "run")
    with pytest.raises(Interrupted):  # a pause after each step, and one before the batch of validation
        train(tiny_config, run, ON, stop_after=6)
    reader = reader_of(run)
    before = read(reader)
    assert [step for step, _ in before["loss/step"]] == [1, 2, 3, 4, 5]
    (events,) = run.tensorboard.glob(f"{NAME}*")
    events.write_bytes(events.read_bytes()[:-70])  # the last point, cut in its middle
    run.log_step({"step": 6, "epoch": 2, "lr": 0.05, "loss": 99.0})
    result = train(tiny_config, run, ON)
    after = read(reader_of(run))
    assert after == noted(run, result)
    assert after["loss/step"][:5] == before["loss/step"]
    assert [step for step, _ in after["accuracy/val"]] == [3, 6]
    assert [step for step, _ in after["accuracy/test"]] == [6]
    assert read(reader) == after  # of one that was open all the time
    assert train(tiny_config, run, ON)["steps"] == 6  # which tests anew
    assert read(reader_of(run)) == after


def test_event_files_asked_for_later_hold_the_time_before(tiny_config: Path, tmp_path: Path) -> None:
    run = Run.create(tmp_path, "run")
    train(tiny_config, run)
    assert not run.tensorboard.exists()
    result = train(tiny_config, run, ON, "train.epochs=3")
    assert read(reader_of(run)) == noted(run, result)


def test_scores_on_the_test_images_after_each_epoch_are_noted_once(tiny_config: Path, tmp_path: Path) -> None:
    run = Run.create(tmp_path, "run")
    train(tiny_config, run, ON, "train.validate_on=test", "train.report=last")
    points = read(reader_of(run))
    assert sorted(points) == ["accuracy/test", "accuracy/train", "loss/step", "loss/test", "loss/train", "lr"]
    assert [step for step, _ in points["loss/test"]] == [3, 6]


def test_without_the_library_nothing_is_begun(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    config = load_config(tiny_config, [ON], {"output": str(tmp_path / "runs")})
    with pytest.raises(MachineError, match=r"pip install 'cnncli\[tensorboard\]'"):
        launch.train(config, None, Display())
    assert not (tmp_path / "runs").exists()
