"""The real command: runs against each other."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cnncli import launch
from cnncli.config.validation import load_config
from cnncli.display import Display
from cnncli.run import Run
from tests.conftest import Cnn


@pytest.fixture(scope="module")
def faster(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train as the tiny run, but with a higher learning rate and another seed."""
    run = Run(tmp_path_factory.mktemp("faster") / ("long-" * 18 + "name"))
    launch.train(load_config(tiny_run.config, ["optimizer.lr=0.2", "train.seed=1"]), run, Display())
    return run


def test_two_runs_are_compared(cnn: Cnn, tiny_run: Run, faster: Run, tmp_path: Path) -> None:
    done = cnn("compare", tiny_run.path, faster.path, "--json", "-o", "both.png")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["runs", "differences", "groups", "contrasts", "pairs", "verdict", "curves"]
    assert found["differences"] == {"train.seed": [0, 1], "optimizer.lr": [0.05, 0.2]}
    for row, run in zip(found["runs"], (tiny_run, faster), strict=True):
        best = run.read_history()[1]  # the second of two epochs
        assert row["best"] == {"epoch": 2, "val": best["val"]}
        assert row["seconds"] == sum(row["seconds"] for row in run.read_history())
    scored = json.loads(cnn("eval", faster.best, "--json").stdout)
    for key in ("accuracy", "loss", "num_images"):
        assert found["runs"][1]["test"][key] == scored[key]
    (pair,) = found["pairs"]
    accuracies = [row["test"]["accuracy"] for row in found["runs"]]
    assert pair["only_first"] - pair["only_second"] == round(20 * (accuracies[0] - accuracies[1]))
    with Image.open(tmp_path / "both.png") as picture:
        assert picture.size == (1000, 460)


def test_tables_fit_a_hundred_columns_whatever_runs_are_called(
    cnn: Cnn, tiny_run: Run, faster: Run, tmp_path: Path
) -> None:
    copies = [shutil.copytree(faster.path, tmp_path / (f"{n}-" * 40)) for n in range(4)]
    done = cnn("compare", tiny_run.path, faster.path, *copies)
    assert done.returncode == 0, done.stderr
    blocks = done.stdout.split("\n\n")
    assert [block.splitlines()[0][:1].strip() for block in blocks] == ["a", "", "", "a", "c"]
    tables = blocks[1].splitlines() + blocks[2].splitlines()
    assert max(map(len, tables)) <= 100
    assert [line.split()[0] for line in blocks[2].splitlines()[1:]] == list("abcdef")
    assert blocks[4].strip() == "curves  comparison.png"


def test_runs_on_other_images_are_not_paired(cnn: Cnn, tiny_run: Run, folder_run: Run) -> None:
    done = cnn("compare", tiny_run.path, folder_run.path)
    assert done.returncode == 0, done.stderr
    assert "no verdict: no two were tested on the same images" in done.stdout


def test_mistakes_are_said(cnn: Cnn, tiny_run: Run, faster: Run, tmp_path: Path) -> None:
    for arguments, code, said in [
        ((tiny_run.path,), 2, "2 to 26 runs can be compared, got 1; 'cnn eval' scores one"),
        ((tiny_run.path, faster.path, tiny_run.path), 2, "is named twice"),
        ((tiny_run.path, "runs"), 4, "no checkpoint at runs"),
        ((tiny_run.path, tiny_run.path.parent), 4, "is no run directory"),
        ((tiny_run.path, tiny_run.config), 4, "not a checkpoint of cnncli"),
        ((tiny_run.path, faster.path, "-o", "curves.jpg"), 2, "say a file whose name ends in .png"),
        ((tiny_run.path, faster.path, "--data", "nowhere.npz"), 3, "nowhere.npz"),
        ((tiny_run.path, faster.path, "-o", "nowhere/curves.png"), 2, "there is no folder nowhere"),
    ]:
        done = cnn("compare", *arguments)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
        assert done.stdout == ""
    assert not list(tmp_path.glob("*.png"))
