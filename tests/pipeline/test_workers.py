"""Worker processes: their order, their errors, their end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.utils.data import Dataset

from cnncli.errors import MachineError
from cnncli.pipeline.workers import by_workers
from tests.conftest import PictureFolder


class Doubles(Dataset[int]):
    """Twice what is wanted; a bug at 5, a death at 7."""

    def __getitem__(self, wanted: int) -> int:
        if wanted == 5:
            raise RuntimeError("a bug of ours")
        if wanted == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * wanted


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_order_is_that_of_what_is_wanted(workers: int) -> None:
    wanted = [3, 1, 4, 1, 6, 2, 0]
    assert list(by_workers(Doubles(), iter(wanted), workers)) == [6, 2, 8, 2, 12, 4, 0]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_stays_what_it_is(workers: int) -> None:
    with pytest.raises(RuntimeError, match="a bug of ours"):
        list(by_workers(Doubles(), [1, 5], workers))


def test_a_worker_that_dies_is_an_error_of_the_machine() -> None:
    with pytest.raises(MachineError, match=r"a process that reads images died: .*(killed|exited).*data\.workers=1"):
        list(by_workers(Doubles(), [1, 7], 1))


def test_a_sigterm_to_all_of_a_group_ends_a_run_without_a_traceback(
    tmp_path: Path, picture_folder: PictureFolder
) -> None:
    """As torchrun and SLURM send it."""
    root = picture_folder("train", "val")
    command = [sys.executable, "-m", "cnncli", "train", "-c", "tinyvgg_folder", "--epochs", "100000", "--device", "cpu"]
    command += ["--set", f"data.root={root}", "--set", "data.cache=off", "--set", "data.workers=2"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    history = tmp_path / "runs" / "tinyvgg_folder" / "history.jsonl"
    waited = time.monotonic()
    while not history.exists() and time.monotonic() - waited < 120:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert said.splitlines()[-1].startswith("error: stopped after ")
