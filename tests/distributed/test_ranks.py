"""Several processes train one network, on gloo: the numbers of one process, and evaluation exact to the image."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from cnncli import checkpoint as checkpoints
from cnncli import launch
from cnncli.checkpoint import Checkpoint
from cnncli.config.validation import load_config
from cnncli.display import Display
from cnncli.registry import MODELS
from cnncli.run import Run
from tests import killing
from tests.conftest import PictureFolder
from tests.networks import TestNet

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


@pytest.mark.slow
def test_two_ranks_train_seeds_one_after_the_other(tmp_path: Path) -> None:
    """And go on with them; the first alone speaks."""
    (tmp_path / "config.yaml").write_text(DIGITS)
    command = [*TWO_RANKS, "-m", "cnncli", "train", "-c", "config.yaml", "--seeds", "2", "--json"]
    for further in ([], ["--resume", "auto"]):
        result = done([*command, *further], tmp_path)
        assert result.returncode == 0, result.stderr
        (line,) = result.stdout.splitlines()
        assert [run["run_dir"] for run in json.loads(line)["runs"]] == ["runs/config-seed0", "runs/config-seed1"]
        assert result.stderr.count("seed 1, 2 of 2") == 1


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
    scored, reports = [], []
    for launcher in (ONE_PROCESS, TWO_RANKS):  # the same weights
        words = ["-m", "cnncli", "eval", one.best, "--json", "--report", tmp_path / "report"]
        scored.append(json.loads(done([*launcher, *words], tmp_path).stdout))
        reports.append(json.loads((tmp_path / "report" / "report.json").read_text()))
    assert scored[0].pop("loss") == pytest.approx(scored[1].pop("loss"), rel=1e-6)
    assert scored[0] == scored[1]
    assert reports[0]["confusion_matrix"] == reports[1]["confusion_matrix"]
    assert [mistake["row"] for mistake in reports[0]["mistakes"]] == [
        mistake["row"] for mistake in reports[1]["mistakes"]
    ]


def test_two_ranks_stream_pictures_as_one_process_does(tmp_path: Path, picture_folder: PictureFolder) -> None:
    root = picture_folder("train", "val", per_class=9)
    for number in range(6):  # unequal classes, so that their weights are, and the ranks' sums of them
        (root / "train" / "left" / f"{number}.jpg").unlink()
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


WORKERS = """
import os
from cnncli.pipeline.workers import by_workers
from cnncli.runtime import choose_runtime

class Parent:
    def __getitem__(self, wanted):
        return os.getppid()

if __name__ == "__main__":
    runtime = choose_runtime("cpu")
    parents = {parent for parent in by_workers(Parent(), range(4), 2)}
    if runtime.is_main:
        print(len(parents), os.getpid() in parents)
"""


def test_ranks_fork_no_workers(tmp_path: Path) -> None:
    """A thread of gloo may hold a lock of Python's, for which a forked child would wait for ever."""
    (tmp_path / "workers.py").write_text(WORKERS)
    result = done([*TWO_RANKS, "workers.py"], tmp_path)
    assert result.stdout == "1 False\n", result.stderr


WRAPPED = """
import os, sys
from pathlib import Path
from cnncli.cli import main
from cnncli.registry import MODELS
from tests.networks import TestNet
MODELS._found["testnet"] = TestNet
rank = os.environ.get("RANK", "0")
sys.argv = [word.replace("RANK", rank) for word in sys.argv]
if "ONLY_RANK_0_READS" in os.environ and rank != "0":
    from cnncli.errors import DataError
    from cnncli.pipeline.decode import Picture
    read = Picture.read.__func__
    def failing(cls, path):
        if path.endswith(os.environ["ONLY_RANK_0_READS"].encode()):
            raise DataError("Input/output error")
        return read(cls, path)
    Picture.read = classmethod(failing)
if "ONLY_RANK_0_CACHES" in os.environ and rank != "0":
    os.environ["CNN_CACHE"] = __file__ + "/below"  # where nothing can be written
if __name__ == "__main__":  # workers are started from here too
    main()
"""


@pytest.fixture
def wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a script that is ``cnn``, knows a network with batch normalisation, and gives each rank its own words."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    (tmp_path / "wrapped.py").write_text(WRAPPED)
    return tmp_path / "wrapped.py"


def test_what_batch_normalisation_is_validated_with_is_what_is_saved(wrapped: Path, tmp_path: Path) -> None:
    """Its means differ from rank to rank; one process that scores the checkpoint finds the loss of the history."""
    (tmp_path / "config.yaml").write_text(DIGITS.replace("lenet5", "testnet, dropout: 0.0"))
    trained = done([*TWO_RANKS, wrapped, "train", "-c", "config.yaml"], tmp_path)
    assert trained.returncode == 0, trained.stderr
    run = Run.open(tmp_path / "runs" / "config")
    scored = done([sys.executable, wrapped, "eval", run.last, "--split", "val", "--json"], tmp_path)
    assert json.loads(scored.stdout)["loss"] == pytest.approx(run.read_history()[-1]["val"]["loss"], rel=1e-5)


def test_two_ranks_fine_tune_as_one_process_does(
    wrapped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch normalisation that is frozen takes no means of a rank's part; it stays as it was in the checkpoint."""
    weights = TestNet(num_classes=9, image_size=28).state_dict()
    weights["features.1.running_mean"] += 0.1
    preprocess = {"size": 28, "channels": 1, "mean": [0.1], "std": [0.3]}
    there = Checkpoint("testnet", {"dropout": 0.0}, weights, list("012345678"), preprocess, {}, {})
    checkpoints.save(there, tmp_path / "there.pt")
    config = DIGITS.replace("lenet5", "testnet, dropout: 0.0, init_from: there.pt, freeze: features.1")
    (tmp_path / "config.yaml").write_text(config.replace("momentum", "backbone_lr: 0.01, momentum"))
    result = done([*TWO_RANKS, wrapped, "train", "-c", "config.yaml"], tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("taken from") == 1  # by rank 0 alone
    two, one = Run.open(tmp_path / "runs" / "config"), Run.at(tmp_path / "one")
    monkeypatch.setitem(MODELS._found, "testnet", TestNet)
    monkeypatch.chdir(tmp_path)
    launch.train(load_config("config.yaml"), one, Display())
    assert_same(one, two)
    after = checkpoints.load(two.last)
    for name, before in weights.items():
        assert torch.equal(after.state["model"][name], before) == name.startswith("features.1"), name
        assert torch.equal(after.weights[name], before) == name.startswith("features.1"), name


def error_of_rank_1(wrapped: Path, config: str, *arguments: str, **environment: str) -> str:
    """Have two ranks train what the second refuses, and return what it says."""
    (wrapped.parent / "config.yaml").write_text(config)
    command = [*TWO_RANKS, wrapped, "train", "-c", "config.yaml", *arguments]
    result = done(command, wrapped.parent, **environment)
    assert result.returncode != 0
    assert "a bug of its own" not in result.stderr
    return "".join(line for line in result.stderr.splitlines() if line.startswith("[rank 1] error: "))


FOLDER = (
    "data: {name: image_folder, root: pictures, size: 32, workers: 1, on_error: skip, cache: %s}\n"
    "model: {name: tinyvgg}\ntrain: {epochs: 1, batch_size: 5}\nruntime: {device: cpu}\n"
)


@pytest.mark.parametrize("cache", ["off", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("memory", "disk"))])
def test_a_skipped_file_is_counted_once(cache: str, tmp_path: Path, picture_folder: PictureFolder) -> None:
    root = picture_folder("train", "val", per_class=3)
    for path in ("train/left/0.jpg", "train/top/1.jpg", "val/left/2.jpg"):
        (root / path).write_bytes(b"text")
    run, _ = train(TWO_RANKS, tmp_path, FOLDER % cache)
    assert [row["num_skipped"] for row in run.read_history()] == [3]


def test_ranks_that_see_other_files_are_told(wrapped: Path, tmp_path: Path, picture_folder: PictureFolder) -> None:
    """As many, but one has another name: labels would be given to other pictures."""
    first = picture_folder("train", "val", per_class=3)
    shutil.copytree(first, tmp_path / "pictures1")
    (tmp_path / "pictures1" / "val" / "left" / "0.jpg").rename(tmp_path / "pictures1" / "val" / "left" / "9.jpg")
    first.rename(tmp_path / "pictures0")
    said = error_of_rank_1(wrapped, FOLDER % "off", "--set", "data.root=picturesRANK")
    assert said.startswith("[rank 1] error: the val split is not the one that the first process has")


def test_ranks_that_can_read_other_files_are_told(wrapped: Path, picture_folder: PictureFolder) -> None:
    """Each keeps its own, and leaves out what it cannot read: their plans would be of other pictures."""
    picture_folder("train", "val", per_class=3)
    said = error_of_rank_1(wrapped, FOLDER % "memory", ONLY_RANK_0_READS="train/left/1.jpg")
    assert said.startswith("[rank 1] error: other pictures are broken here than where the first process runs")


def test_one_decides_where_pictures_are_kept(wrapped: Path, picture_folder: PictureFolder) -> None:
    """Or those that can write a cache would wait for those that cannot."""
    picture_folder("train", "val", per_class=3)
    said = error_of_rank_1(wrapped, FOLDER % "auto", ONLY_RANK_0_CACHES="1")
    assert "set $CNN_CACHE to another folder" in said


def test_a_dry_run_of_fewer_images_than_ranks(tmp_path: Path, picture_folder: PictureFolder) -> None:
    root = picture_folder("train", "val", per_class=3)
    for path in sorted((root / "val").rglob("*.jpg"))[1:]:
        path.unlink()
    (tmp_path / "config.yaml").write_text(FOLDER % "auto")
    result = done([*TWO_RANKS, "-m", "cnncli", "train", "-c", "config.yaml", "--dry-run", "--json"], tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["val"]["num_images"] == 1


IN_TURN = """
import time
from cnncli.runtime import choose_runtime

runtime = choose_runtime("cpu")
for number in range(3):
    with runtime.in_turn():
        if runtime.prepares:
            time.sleep(0.2)
        with open("order", "a") as file:
            print(number, runtime.rank, file=file)
    runtime.from_main(lambda: None)
"""


def test_the_rank_that_prepares_goes_first(tmp_path: Path) -> None:
    """What it downloads or decodes is there when the others look for it."""
    (tmp_path / "turns.py").write_text(IN_TURN)
    result = done([*TORCHRUN, "--standalone", "--nproc-per-node", "2", "turns.py"], tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "order").read_text().splitlines() == [f"{n} {rank}" for n in range(3) for rank in range(2)]


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
    assert f"error: 1 of 42 pictures cannot be read:\n  {root}/train/left/3.jpg: not a picture" in result.stderr
    assert "a bug of its own" not in result.stderr
    assert time.perf_counter() - started < 120  # and not the two hours that ranks wait for each other


RESUMED_FROM_EACH_PAUSE = """
import sys
from itertools import count
from pathlib import Path
from cnncli import checkpoint as checkpoints
from cnncli.registry import MODELS
from cnncli.run import Run
from cnncli.session import Session
from tests.networks import TestNet
from tests.test_session import EVERYTHING, Silent, assert_same_state, prepared, stopped

MODELS._found["testnet"] = TestNet
experiment = prepared(Path(sys.argv[1]), *EVERYTHING)
runtime, folder = experiment.runtime, Path("runs")
whole = Run.at(folder / "whole")
Session(experiment, whole, Silent()).train()
for after in count(1):
    run = Run.at(folder / str(after))
    # The second rank alone is asked to stop; the first one hears of it.
    was_stopped = max(runtime.of_all(stopped(experiment, run, after if runtime.rank == 1 else 0)))
    if was_stopped:
        Session(experiment, run, Silent()).train(runtime.from_main(lambda: checkpoints.load(run.last)))
    if runtime.is_main:
        assert_same_state(whole, run)
    if not was_stopped:
        break
if runtime.is_main:
    states = checkpoints.load(whole.last).state["ranks"]
    assert not states[0]["random"]["cpu"].equal(states[1]["random"]["cpu"])
    print(after)
"""


def test_two_ranks_stop_together_after_any_step_and_go_on_to_the_bit(tiny_config: Path, tmp_path: Path) -> None:
    (tmp_path / "resumed.py").write_text(RESUMED_FROM_EACH_PAUSE)
    result = done([*TWO_RANKS, "resumed.py", tiny_config], tmp_path, PYTHONPATH=str(Path(__file__).parents[2]))
    assert result.returncode == 0, result.stderr
    # Three steps and a batch to validate in each of three epochs, a batch to test; then none to stop at.
    assert result.stdout.split()[-1] == str(3 * (3 + 1) + 1 + 1)


class Launched:
    """Two ranks that go on with the run of a folder, or begin it."""

    def __init__(self, wrapped: Path, folder: Path) -> None:
        self.run = Run(folder / "runs" / "run")
        command = [*TWO_RANKS, wrapped, "train", "-c", "run.yaml", "--resume", "auto"]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.agent = subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, **pipes)

    def ranks_after_some_steps(self) -> list[int]:
        """Wait until the run has come further; return the process numbers of the ranks."""
        before, started = self._size(), time.monotonic()
        while self._size() <= before:
            assert self.agent.poll() is None, self.agent.communicate()
            assert time.monotonic() - started < 120
            time.sleep(0.01)
        children = Path(f"/proc/{self.agent.pid}/task/{self.agent.pid}/children").read_text()
        ranks = [int(child) for child in children.split()]
        assert len(ranks) == 2
        return ranks

    def finish(self) -> None:
        _, said = self.agent.communicate(timeout=120)
        assert self.agent.returncode == 0, said

    def _size(self) -> int:
        return self.run.steps.stat().st_size if self.run.steps.exists() else 0


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(processes: list[int]) -> bool:
    """Wait until none of some processes is alive; ``False`` if one still is after a minute."""
    deadline = time.monotonic() + 60
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(is_alive, processes))


def of_sessions(leaders: list[int]) -> list[int]:
    """Return the processes of some sessions: ranks, and all that they started."""
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [process for process in processes if is_alive(process) and os.getsid(process) in leaders]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_signals_to_all_of_a_rank_are_for_its_loop(
    wrapped: Path, tmp_path: Path, picture_folder: PictureFolder
) -> None:
    """As SLURM and torchrun send them; what reads pictures for the loop goes on, and ends with it, even killed."""
    picture_folder("train", "val", per_class=9)
    (tmp_path / "run.yaml").write_text(FOLDER.replace("epochs: 1,", "epochs: 100000, log_every: 1,") % "off")

    launched = Launched(wrapped, tmp_path)
    ranks = launched.ranks_after_some_steps()
    for rank in ranks:
        os.killpg(rank, signal.SIGUSR1)
    assert launched.ranks_after_some_steps() == ranks
    processes = of_sessions(ranks)
    assert len(processes) >= 2 * 3  # a rank, its fork server, its workers
    for rank in ranks:
        os.killpg(rank, signal.SIGTERM)
    _, said = launched.agent.communicate(timeout=60)
    assert "[rank 0] error: stopped after " in said
    assert "died" not in said
    assert gone(processes)

    launched = Launched(wrapped, tmp_path)
    processes = of_sessions(launched.ranks_after_some_steps())
    os.killpg(launched.agent.pid, signal.SIGKILL)
    launched.agent.communicate()
    assert gone(processes)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_two_ranks_that_are_killed_go_on_to_the_bit(wrapped: Path, tmp_path: Path) -> None:
    """The agent is killed, then a rank, then the agent is asked to stop; no rank outlives any of it."""
    for name in ("whole", "parts"):
        killing.prepare(tmp_path / name, killing.CONFIG.replace("epochs: 5", "epochs: 12"))
    Launched(wrapped, tmp_path / "whole").finish()

    launched = Launched(wrapped, tmp_path / "parts")
    ranks = launched.ranks_after_some_steps()
    os.killpg(launched.agent.pid, signal.SIGKILL)
    assert gone(ranks)
    launched.agent.communicate()

    launched = Launched(wrapped, tmp_path / "parts")
    ranks = launched.ranks_after_some_steps()
    os.kill(ranks[1], signal.SIGKILL)
    assert gone(ranks)
    _, said = launched.agent.communicate(timeout=60)
    assert launched.agent.returncode == 1
    assert "a bug of its own" not in said

    launched = Launched(wrapped, tmp_path / "parts")
    ranks = launched.ranks_after_some_steps()
    os.killpg(launched.agent.pid, signal.SIGINT)
    assert gone(ranks)
    _, said = launched.agent.communicate(timeout=60)
    assert launched.agent.returncode == 1
    stopped = re.search(r"\[rank 0\] error: stopped after .*\.pt holds the run\. Go on with: (.*)", said)
    assert stopped is not None, said
    assert stopped[1] == "torchrun with its options as before, and -m cnncli train --resume runs/run"

    Launched(wrapped, tmp_path / "parts").finish()
    assert killing.fingerprint(tmp_path / "parts") == killing.fingerprint(tmp_path / "whole")
