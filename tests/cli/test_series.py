"""The real command: one config with several seeds."""

import json
from pathlib import Path

from tests.conftest import Cnn


def test_a_series_is_a_table_and_one_json_object(cnn: Cnn, tiny_config: Path) -> None:
    options = ("-c", tiny_config, "--epochs", 1, "--seed", 3, "--seeds", 2)
    done = cnn("train", *options)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["seed", "best", "epoch", "val", "test", "loss", "seconds", "run"]
    assert [line.split()[0] for line in lines[1:]] == ["3", "4", "val", "test", "time"]
    assert [line for line in done.stderr.splitlines() if "of 2" in line] == ["seed 3, 1 of 2", "seed 4, 2 of 2"]
    again = cnn("train", *options, "--resume", "auto", "--json")
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert set(found) == {"runs", "val_accuracy", "test_accuracy", "median_seconds"}
    assert [run["run_dir"] for run in found["runs"]] == ["runs/tiny-seed3", "runs/tiny-seed4"]
    assert f"{found['test_accuracy']['mean']:.2%} ± {100 * found['test_accuracy']['std']:.2f}" in done.stdout
    assert found["median_seconds"] is None  # all of it was done before


def test_what_does_not_go_with_seeds_is_said(cnn: Cnn, tiny_config: Path) -> None:
    for options in (("--dry-run",), ("--resume", "runs/tiny")):
        done = cnn("train", "-c", tiny_config, "--seeds", 2, *options)
        assert done.returncode == 2
        assert "--seeds goes with --resume auto" in done.stderr
    assert cnn("train", "-c", tiny_config, "--seeds", 0).returncode == 2
