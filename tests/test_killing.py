"""Runs that are killed without warning go on to what they would have come to, to the last bit."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnncli import checkpoint as checkpoints
from cnncli.run import Run
from tests import killing
from tests.forks import Forks, forking

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forking() as made:
        yield made


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the fingerprint of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    killing.prepare(folder)
    killing.finish(forks, folder)
    return killing.fingerprint(folder)


def test_the_fingerprint_tells_runs_apart(forks: Forks, whole: str, tmp_path: Path) -> None:
    killing.prepare(tmp_path)
    killing.finish(forks, tmp_path, "--set", "train.ema=0.91")
    assert killing.fingerprint(tmp_path) != whole


@pytest.mark.parametrize(("number", "epochs", "saves"), [(8, 3, 2), pytest.param(25, 10, 5, marks=pytest.mark.slow)])
def test_killed_at_a_random_instant(
    number: int, epochs: int, saves: int, forks: Forks, whole: str, tmp_path: Path
) -> None:
    """That often at least, some of them inside an epoch and inside a save; benchmarks/soak.py does it 200 times."""
    draw, kills, inside_epoch, inside_save = random.Random(0), 0, 0, 0
    while kills < number or inside_epoch < epochs or inside_save < saves:
        folder = tmp_path / str(kills)
        killing.prepare(folder)
        epoch, save = killing.kill_somewhere(forks, folder, draw, longest=1.5)
        kills, inside_epoch, inside_save = kills + 1, inside_epoch + epoch, inside_save + save
        killing.finish(forks, folder)
        assert killing.fingerprint(folder) == whole, f"kill {kills}, inside an epoch: {epoch}, a save: {save}"
        assert kills < 100, f"only {inside_epoch} of 100 kills were inside an epoch, {inside_save} inside a save"


def test_killed_twenty_times_in_one_run(forks: Forks, whole: str, tmp_path: Path) -> None:
    draw, steps = random.Random(1), set()
    killing.prepare(tmp_path)
    run = Run(tmp_path / "runs" / "run")
    for _ in range(20):
        killing.kill_after_a_while(forks, tmp_path, draw.uniform(0, 0.1))
        if run.is_begun:
            steps.add(checkpoints.load_newest(run.last, print).state["progress"]["steps"])
    assert len(steps) > 4  # it came further in between
    killing.finish(forks, tmp_path)
    assert killing.fingerprint(tmp_path) == whole
    assert not list(run.path.rglob("*.tmp"))
