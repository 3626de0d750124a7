"""``cnn lr-find``: the suggestion, the picture, and nothing else."""

import json
from pathlib import Path

import pytest

from tests.conftest import Cnn


def test_a_suggestion_and_a_picture_are_all(cnn: Cnn, tiny_config: Path, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    done = cnn("lr-find", tiny_config, "--from", 1e-4, "--steps", 60, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert list(result) == ["suggestion", "suggested_backbone_lr", "lowest", "curve", "picture"]
    assert result["suggested_backbone_lr"] is None
    assert list(result["lowest"]) == list(result["curve"]) == ["lr", "loss", "smoothed"]
    assert {path.name for path in tmp_path.iterdir()} - before == {"lr.png"}
    said = cnn("lr-find", tiny_config, "--from", 1e-4, "--steps", 60)
    assert said.stdout.splitlines()[-1].endswith(f"--lr {result['suggestion']:.2g}")


def test_the_backbones_rate_is_suggested_in_its_ratio(cnn: Cnn, tiny_config: Path) -> None:
    """The range test scales both by one factor."""
    arguments = ("lr-find", tiny_config, "--from", 1e-4, "--steps", 60, "--set", "optimizer.backbone_lr=0.01")
    result = json.loads(cnn(*arguments, "--json").stdout)
    assert result["suggested_backbone_lr"] == pytest.approx(result["suggestion"] * 0.01 / 0.05)  # sgd's own is 0.05
    line = f"--lr {result['suggestion']:.2g} --set optimizer.backbone_lr={result['suggested_backbone_lr']:.2g}"
    assert cnn(*arguments).stdout.splitlines()[-1].endswith(line)


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
        (("-o", "nowhere/lr.png"), "--output nowhere/lr.png: there is no folder nowhere"),
        (("--set", "optimizer.lrr=1"), "unknown option of sgd; did you mean lr?"),
    ):
        done = cnn("lr-find", tiny_config, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
    assert "Example: cnn lr-find" in cnn("lr-find", "--help").stdout.replace("│", "")
