"""The run directory."""

import csv
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cnncli.errors import CheckpointError, ConfigError, MachineError, RunBusyError
from cnncli.run import Run, read_history_of

ROW = {"epoch": 1, "step": 10, "train": {"loss": 0.5, "accuracy": 0.9}, "val": None}


def test_runs_of_one_name_are_numbered(tmp_path: Path) -> None:
    names = [Run.create(tmp_path / "runs", "lenet5").path.name for _ in range(3)]
    assert names == ["lenet5", "lenet5-2", "lenet5-3"]


def test_an_output_that_cannot_be_written_is_an_error_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="--output"):
        Run.create(tmp_path / "file", "a")


def test_only_a_run_directory_is_opened(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.yaml"):
        Run.open(tmp_path)


def test_a_second_process_is_kept_out_and_a_dead_ones_lock_is_none(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "a")
    script = (
        "import sys, pathlib; from cnncli.run import Run\n"
        "with Run(pathlib.Path(sys.argv[1])).locked(): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(RunBusyError, match=f"process {other.pid} on {socket.gethostname()}") as error, run.locked():
            pass
        assert error.value.exit_code == 8
        other.kill()
    with run.locked():
        pass


def test_a_run_that_saved_nothing_leaves_nothing(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "a")
    with run.locked():
        run.config.write_text("")
        run.last.write_bytes(b"weights")
    assert run.path.exists()
    run.last.unlink()
    with run.locked():
        pass
    assert not run.path.exists()


def test_history_is_json_lines_and_a_flat_csv(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "a")
    run.log_epoch(ROW)
    run.log_epoch({**ROW, "epoch": 2})
    assert [json.loads(line)["epoch"] for line in run.history.read_text().splitlines()] == [1, 2]
    assert run.read_history()[0] == ROW
    with run.metrics.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first == {"epoch": "1", "step": "10", "train_loss": "0.5", "train_accuracy": "0.9"}
    assert second["epoch"] == "2"


def test_a_line_that_was_cut_short_ends_the_history(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "a")
    run.history.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW)[:20])
    assert run.read_history() == [ROW]


def test_rows_after_a_checkpoint_are_cut(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "a")
    rows = [{**ROW, "epoch": number} for number in (1, 2, 3)]
    for row in rows:
        run.log_step({"step": 10 * row["epoch"]})
        run.log_epoch(row)
    assert run.cut(rows[:2], step=20)
    assert not run.cut(rows[:2], step=20)  # nothing more
    assert run.read_history() == rows[:2]
    run.log_step({"step": 30})
    assert [json.loads(line)["step"] for line in run.steps.read_text().splitlines()] == [10, 20, 30]
    assert len(run.metrics.read_text().splitlines()) == 1 + 2
    assert run.cut([], step=0)
    run.log_epoch(rows[0])
    assert len(run.metrics.read_text().splitlines()) == 1 + 1


def test_a_directory_without_epochs_has_no_history_to_draw(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no epochs"):
        read_history_of(tmp_path)
