"""``cnn lr-find``: the suggestion, the picture, and nothing else."""

import json
from pathlib import Path

from tests.conftest import Cnn


def test_a_suggestion_and_a_picture_are_all(cnn: Cnn, tiny_config: Path, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    done = cnn("lr-find", tiny_config, "--from", 1e-4, "--steps", 60, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert list(result) == ["suggestion", "lowest", "curve", "picture"]
    assert list(result["lowest"]) == list(result["curve"]) == ["lr", "loss", "smoothed"]
    assert {path.name for path in tmp_path.iterdir()} - before == {"lr.png"}
    said = cnn("lr-find", tiny_config, "--from", 1e-4, "--steps", 60)
    assert said.stdout.splitlines()[-1].endswith(f"--lr {result['suggestion']:.2g}")


def test_no_suggestion_is_no_error(cnn: Cnn, tiny_config: Path) -> None:
    arguments = ("lr-find", tiny_config, "--to", 1e-5, "--steps", 20)
    assert json.loads(cnn(*arguments, "--json").stdout)["suggestion"] is None
    done = cnn(*arguments)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("no suggestion: the loss hardly fell")


def test_what_cannot_be_is_said_before_training(cnn: Cnn, tiny_config: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("--from", 1, "--to", 0.1), "--from 1 --to 0.1 is no range: the smaller one comes first"),
        (("-o", "lr.jpg"), "--output lr.jpg: the picture is a PNG"),
        (("-o", "nowhere/lr.png"), "--output nowhere/lr.png: the picture is a PNG"),
        (("--set", "optimizer.lrr=1"), "unknown option of sgd; did you mean lr?"),
    ):
        done = cnn("lr-find", tiny_config, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
    assert "Example: cnn lr-find" in cnn("lr-find", "--help").stdout.replace("│", "")
