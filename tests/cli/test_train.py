"""The real command: train, evaluate, resume, draw."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Cnn


def parsed(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """Return the one JSON object on stdout."""
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def test_train_then_eval_repeats_its_figures_to_the_last_digit(cnn: Cnn, tmp_path: Path) -> None:
    """With all of MNIST's test digits; a few training images do."""
    sets = ("data.limit=100", "data.validation=0.05", "train.eval_batch_size=333")
    arguments = [part for assignment in sets for part in ("--set", assignment)]
    trained = parsed(cnn("train", "-c", "lenet5", "--epochs", 2, *arguments, "--device", "cpu", "--json"))
    assert set(trained) == {"run_dir", "epochs", "steps", "seconds", "best", "test"}
    assert trained["run_dir"] == "runs/lenet5"
    best = "runs/lenet5/checkpoints/best.pt"
    for split, path, scores in (
        ("test", trained["test"]["checkpoint"], trained["test"]),
        ("val", best, trained["best"]["val"]),
    ):
        scored = parsed(cnn("eval", path, "--split", split, "--json"))
        assert list(scored) == ["checkpoint", "split", "num_images", "num_skipped", "loss", "accuracy", "top5_accuracy"]
        assert (scored["loss"], scored["accuracy"]) == (scores["loss"], scores["accuracy"])
    assert scored["num_images"] == 50  # a twentieth of 100 of each of ten classes
    assert 0 < scored["accuracy"] <= scored["top5_accuracy"] <= 1


def test_results_go_to_stdout_and_progress_to_stderr(cnn: Cnn, tiny_config: Path, tmp_path: Path) -> None:
    done = cnn("train", "-c", tiny_config, "--name", "mine", "--output", "out")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["best", "test", "run", "curves"]
    assert [line[:9] for line in done.stderr.splitlines()[1:]] == ["epoch 1/2", "epoch 2/2"]
    assert (tmp_path / "out" / "mine" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "runs").exists()
    assert cnn("eval", "out/mine/checkpoints/best.pt", "--data", tmp_path / "tiny.npz").stdout.startswith(
        "test  accuracy"
    )


def test_flags_win_over_set_and_set_over_the_file(cnn: Cnn, tiny_config: Path, tmp_path: Path) -> None:
    flags = ("--batch-size", 8, "--lr", 0.01, "--seed", 5)
    done = cnn("train", "-c", tiny_config, "--set", "train.epochs=3", "--epochs", 1, *flags, "--set", "train.seed=9")
    assert done.returncode == 0, done.stderr
    settled = yaml.safe_load((tmp_path / "runs" / "tiny" / "config.yaml").read_text())
    assert (settled["train"]["epochs"], settled["train"]["batch_size"], settled["train"]["seed"]) == (1, 8, 5)
    assert settled["optimizer"]["lr"] == 0.01
    assert settled["model"]["activation"] == "tanh"  # the file's
    assert settled["runtime"] == {
        "device": "cpu",
        "precision": "fp32",
        "threads": settled["runtime"]["threads"],
        "memory_format": "channels_last",
        "deterministic": False,
    }


def test_dry_run_writes_nothing(cnn: Cnn, tiny_config: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    done = cnn("train", "-c", tiny_config, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "dry run: nothing was written"
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on_and_does(
    number: signal.Signals, exit_code: int, cnn: Cnn, tiny_config: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "cnncli", "train", "-c", str(tiny_config), "--epochs", "100000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not re.match("epoch +3/", process.stderr.readline()):
            assert process.poll() is None
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == exit_code
    assert output == ""
    assert "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert last.endswith("Go on with: cnn train --resume runs/tiny")
    epochs = len((tmp_path / "runs" / "tiny" / "history.jsonl").read_text().splitlines())
    resumed = parsed(cnn("train", "--resume", "runs/tiny", "--epochs", epochs + 1, "--json"))
    assert resumed["epochs"] == epochs + 1
    rows = (tmp_path / "runs" / "tiny" / "history.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == list(range(1, epochs + 2))
    assert cnn("curves", "runs/tiny").returncode == 0
