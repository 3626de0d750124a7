"""``cnn sweep``: the table, the picture, and how it is stopped and goes on."""

import json
import sys
from pathlib import Path

import pytest

from tests.conftest import Cnn
from tests.forks import Forks

SWEEP = ("sweep", "tiny.yaml", "--param", "optimizer.lr=log:1e-3..1e-1", "--param", "model.activation=relu,tanh")


def test_a_sweep_says_what_won_and_how_to_test_it(cnn: Cnn, tiny_config: Path, tmp_path: Path) -> None:
    done = cnn(*SWEEP, "--set", "train.epochs=1", "--trials", 2)
    assert done.returncode == 0, done.stderr
    _, head, *rows = done.stdout.splitlines()
    assert head.split() == ["trial", "lr", "activation", "val", "epochs", "state"]
    assert [row.split()[0] for row in rows[:2]] == ["0", "1"]
    assert max(map(len, rows[:2])) <= 100
    result = json.loads(cnn(*SWEEP, "--set", "train.epochs=1", "--trials", 2, "--json").stdout)
    assert list(result) == ["sweep_dir", "best", "trials", "picture"]
    assert (tmp_path / result["picture"]).read_bytes().startswith(b"\x89PNG")
    *_, test, anew = (line.partition(": cnn ")[2].split() for line in done.stdout.splitlines())
    assert test == ["eval", f"{result['best']['run_dir']}/checkpoints/best.pt"]
    trained = json.loads(cnn(*anew, "--json").stdout)
    assert trained["test"]["num_images"] == 20
    assert trained["best"]["val"]["accuracy"] == result["best"]["val_accuracy"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_one_that_is_stopped_says_how_to_go_on(warm: Forks, tiny_config: Path, tmp_path: Path) -> None:
    at_step_five = "when('cnncli.session:Session', '_pause', 5, lambda: os.kill(os.getpid(), signal.SIGTERM))"
    arguments = (*SWEEP, "--set", "train.epochs=100000", "--set", "train.log_every=1000000")
    process = warm.start(tmp_path, *arguments, before=at_step_five, files=("out", "err"))
    assert warm.wait(process) == 143
    assert (tmp_path / "out").read_text() == ""
    *_, last = (tmp_path / "err").read_text().splitlines()
    assert last.startswith(
        "error: stopped; all trials so far are kept. Go on with the same command: cnn sweep tiny.yaml"
    )
    assert (tmp_path / "runs" / "tiny-sweep" / "trial-0" / "checkpoints" / "last.pt").is_file()


def test_help_shows_an_example_and_errors_do(cnn: Cnn, tiny_config: Path) -> None:
    assert "Example: cnn sweep" in cnn("sweep", "--help").stdout.replace("│", "")
    for arguments, message in (
        ((), "say what to search: --param KEY=RANGE, such as"),
        (("--param", "optimizer.lr=0.1"), "expected a range or several values, such as"),
        (("--param", "optimizer.lrr=0.1,0.2"), "unknown option of sgd; did you mean lr?"),
    ):
        done = cnn("sweep", "tiny.yaml", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
