"""Runs that are killed and go on, and what is left of them; for the tests and for ``benchmarks/soak.py``."""

import hashlib
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from cnncli import checkpoint as checkpoints
from cnncli.run import Run
from tests.forks import Forks

# Shuffled, augmented, dropped out, averaged, scheduled and saved often; 24 steps an epoch. With one thread, since what
# forks must not have started others.
CONFIG = (
    "data: {name: npz, path: data.npz, validation: 0.2}\n"
    "model: {name: testnet}\n"
    "augment: {shift: 1, flip: true, rotate: 9.0}\n"
    "train: {epochs: 5, batch_size: 16, log_every: 1, ema: 0.9, clip_norm: 1.0}\n"
    "optimizer: {name: adam}\n"
    "schedule: {name: onecycle, warmup_epochs: 0.5}\n"
    "checkpoint: {every_steps: 2}\n"
    "runtime: {device: cpu, threads: 1}\n"
)


def prepare(folder: Path, config: str = CONFIG) -> None:
    """Write a config and its images into a folder."""
    random_ = np.random.default_rng(0)
    arrays = {}
    for split, number in (("train", 480), ("test", 20)):
        labels = np.arange(number) % 4
        images = random_.integers(0, 200, (number, 12, 12), dtype=np.uint8)
        images[np.arange(number), labels, labels] = 255
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    folder.mkdir(exist_ok=True)
    np.savez(folder / "data.npz", **arrays)
    (folder / "run.yaml").write_text(config)


def go_on(made: Forks, folder: Path, *more: str) -> int:
    """Start the run of a folder, or go on with it; return the process number."""
    return made.start(folder, "train", "-c", "run.yaml", "--resume", "auto", *more)


def finish(made: Forks, folder: Path, *more: str) -> None:
    """Take the run of a folder to its end."""
    code = made.wait(go_on(made, folder, *more))
    assert code == 0, (folder / "said").read_text()


def fingerprint(folder: Path) -> str:
    """Return a sha256 of all that a run has come to: state, history without its times, and rows of steps."""
    run = Run(folder / "runs" / "run")
    checkpoint = checkpoints.load(run.last)
    state = {**checkpoint.state, "progress": {**checkpoint.state["progress"], "seconds": 0}}
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in run.read_history()]
    digest = hashlib.sha256()
    for part in (state, checkpoint.weights, rows, run.steps.read_text(), checkpoints.load(run.best).weights):
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", part: Any) -> None:
    if isinstance(part, dict):
        for key in sorted(part, key=str):
            _add(digest, str(key))
            _add(digest, part[key])
    elif isinstance(part, list | tuple):
        for item in part:
            _add(digest, item)
    elif isinstance(part, Tensor):
        digest.update(part.contiguous().numpy().tobytes())
    else:
        digest.update(f"{part!r};".encode())


def kill_after_a_while(made: Forks, folder: Path, seconds: float) -> None:
    """Go on with the run of a folder, and kill it so many seconds after it has come to its steps."""
    steps = Run(folder / "runs" / "run").steps

    def seen() -> int:
        return steps.stat().st_mtime_ns if steps.exists() else 0

    before, deadline = seen(), time.monotonic() + 60
    process = go_on(made, folder)
    while seen() == before and time.monotonic() < deadline:
        time.sleep(0.0005)
    time.sleep(seconds)
    made.kill(process)


def kill_somewhere(made: Forks, folder: Path, draw: random.Random, longest: float) -> tuple[bool, bool]:
    """Go on with the run of a folder, and kill it at a random instant within ``longest`` seconds or at its next save.

    Return whether it was inside an epoch, and whether inside a save.
    """
    run = Run(folder / "runs" / "run")
    process = go_on(made, folder)
    deadline = time.monotonic() + draw.uniform(0, longest)
    half_written = run.last.with_name(".last.pt.tmp")
    while time.monotonic() < deadline:
        time.sleep(0.0005)
    if draw.random() < 0.3:  # or a save, which takes a millisecond or two, would hardly ever be hit
        while not half_written.exists() and time.monotonic() < deadline + longest:
            pass
    made.kill(process)
    is_inside_save = half_written.exists()
    if not run.is_begun:
        return False, is_inside_save
    checkpoint = checkpoints.load_newest(run.last, print)
    return checkpoint.state["progress"]["position"] > 0, is_inside_save
