"""Several processes train one network, on gloo: the numbers of one process, and evaluation exact to the image."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cnncli.run import Run
from tests.conftest import PictureFolder

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
ONE_PROCESS, TWO_RANKS = [sys.executable], [*TORCHRUN, "--standalone", "--nproc-per-node", "2"]
# Nine classes of 233 images, of which 23 are held out: 1,890 to train on make 20 batches of 97, the last of them of 47;
# 207 to validate and 2,097 to test on are odd numbers. LeNet-5 has no dropout.
DIGITS = (
    "data: {name: mnist, classes: ['0', '1', '2', '3', '4', '5', '6', '7', '8'], limit: 233, validation: 0.1}\n"
    "model: {name: lenet5}\n"
    "augment: {shift: 2, rotate: 10.0}\n"
    "train: {epochs: 1, batch_size: 97, log_every: 1, clip_norm: 1.0, ema: 0.9}\n"
    "optimizer: {lr: 0.05, momentum: 0.9}\n"
    "runtime: {device: cpu}\n"
)


def done(command: list[Any], folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    words = list(map(str, command))
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


def train(launcher: list[str], folder: Path, config: str, *arguments: object) -> tuple[Run, dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(config)
    result = done([*launcher, "-m", "cnncli", "train", "-c", "config.yaml", "--json", *arguments], folder)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()  # rank 0 alone speaks
    return Run.open(folder / "runs" / "config"), json.loads(line)


def assert_same(one: Run, two: Run) -> None:
    """Compare the losses of each step, to 1e-5, and the scores, to the image."""
    first, second = ([json.loads(row) for row in run.steps.read_text().splitlines()] for run in (one, two))
    assert [(row["step"], row["lr"]) for row in first] == [(row["step"], row["lr"]) for row in second]
    assert [row["loss"] for row in second] == pytest.approx([row["loss"] for row in first], rel=1e-5)
    for row, other in zip(one.read_history(), two.read_history(), strict=True):
        for split in ("train", "val"):
            assert other[split]["accuracy"] == row[split]["accuracy"]
            assert other[split]["loss"] == pytest.approx(row[split]["loss"], rel=1e-5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any]]:
    """Train by one process."""
    return train(ONE_PROCESS, tmp_path_factory.mktemp("alone"), DIGITS)


def test_two_ranks_have_the_losses_and_scores_of_one_process(alone: tuple[Run, dict[str, Any]], tmp_path: Path) -> None:
    one, result = alone
    two, together = train(TWO_RANKS, tmp_path / "two", DIGITS, "--set", "train.accumulate=3")
    assert len(one.steps.read_text().splitlines()) == 20
    assert_same(one, two)
    assert together["test"]["num_images"] == result["test"]["num_images"] == 2097
    assert together["test"]["accuracy"] == result["test"]["accuracy"]
    scored = [
        json.loads(done([*launcher, "-m", "cnncli", "eval", one.best, "--json"], tmp_path).stdout)
        for launcher in (ONE_PROCESS, TWO_RANKS)
    ]  # the same weights
    assert scored[0].pop("loss") == pytest.approx(scored[1].pop("loss"), rel=1e-6)
    assert scored[0] == scored[1]


def test_two_ranks_stream_pictures_as_one_process_does(tmp_path: Path, picture_folder: PictureFolder) -> None:
    root = picture_folder("train", "val", per_class=7)
    config = (
        f"data: {{name: image_folder, root: {root}, size: 32, cache: off, workers: 1}}\n"
        "model: {name: tinyvgg}\n"
        "augment: {resized_crop: [0.3, 1.0], flip: true}\n"
        "train: {epochs: 2, batch_size: 5, log_every: 1}\n"
        "loss: {class_weights: balanced}\n"
        "runtime: {device: cpu}\n"
    )
    one, _ = train(ONE_PROCESS, tmp_path / "one", config)
    two, _ = train(TWO_RANKS, tmp_path / "two", config)
    assert len(one.steps.read_text().splitlines()) == 10  # 21 pictures by five: the last batch has one
    assert_same(one, two)


SCORES = """
import json, sys
import torch
from cnncli.datasets import Split
from cnncli.models.lenet5 import LeNet5
from cnncli.pipeline.loader import Recipe
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.resident import ResidentLoader
from cnncli.runtime import choose_runtime
from cnncli.training.losses import CrossEntropy
from cnncli.training.loop import evaluate

runtime = choose_runtime("cpu")
torch.manual_seed(0)
model = LeNet5()
rows = []
for number in (1, 2, 3, 7, 101):
    random = torch.Generator().manual_seed(number)
    images = torch.randint(0, 256, (number, 1, 28, 28), dtype=torch.uint8, generator=random)
    split = Split(images, torch.randint(0, 10, (number,), generator=random))
    loader = ResidentLoader(split, Recipe(Preprocess(28, 1, (0.1,), (0.3,)), 10), runtime)
    rows.append(vars(evaluate(model, CrossEntropy(), loader.in_order(), runtime)))
if runtime.is_main:
    print(json.dumps(rows))
"""


def test_evaluation_counts_each_image_once_whatever_their_number(tmp_path: Path) -> None:
    """One to 101 images on three ranks, some of which have none."""
    (tmp_path / "scores.py").write_text(SCORES)
    alone = done([sys.executable, "scores.py"], tmp_path)
    together = done([*TORCHRUN, "--standalone", "--nproc-per-node", "3", "scores.py"], tmp_path)
    assert together.returncode == 0, together.stderr
    for one, three in zip(json.loads(alone.stdout), json.loads(together.stdout), strict=True):
        assert three.pop("loss") == pytest.approx(one.pop("loss"), rel=1e-6)
        assert three == one


def test_two_machines_meet_at_a_rendezvous(alone: tuple[Run, dict[str, Any]], tmp_path: Path) -> None:
    """Two agents of torchrun with a process each, as two machines have them, on the loopback device."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "config.yaml").write_text(DIGITS)
    rendezvous = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test"]
    command = [*TORCHRUN, "--nnodes", "2", "--nproc-per-node", "1", *rendezvous, "--local-addr", "127.0.0.1"]
    command += ["-m", "cnncli", "train", "-c", "config.yaml", "--json"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    agents = [subprocess.Popen(command, cwd=folder, env=env, **pipes) for _ in range(2)]
    outputs = [agent.communicate(timeout=300) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], outputs
    assert len("".join(out for out, _ in outputs).splitlines()) == 1
    assert_same(alone[0], Run.open(folder / "runs" / "config"))


def test_an_error_of_one_rank_ends_all(tmp_path: Path, picture_folder: PictureFolder) -> None:
    """The rank that meets the broken file names it; the other one does not wait for it."""
    root = picture_folder("train", "val", per_class=7)
    (root / "train" / "left" / "3.jpg").write_bytes(b"text")
    arguments = ["--set", f"data.root={root}", "--set", "data.cache=off", "--set", "data.workers=0", "--device", "cpu"]
    started = time.perf_counter()
    result = done([*TWO_RANKS, "-m", "cnncli", "train", "-c", "tinyvgg_folder", *arguments], tmp_path)
    assert result.returncode != 0
    assert f"error: 1 of 18 pictures cannot be read:\n  {root}/train/left/3.jpg: not a picture" in result.stderr
    assert "a bug of its own" not in result.stderr
    assert time.perf_counter() - started < 120  # and not the two hours that ranks wait for each other
