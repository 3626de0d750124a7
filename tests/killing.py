"""Runs that are killed and go on, and what is left of them; for the tests and for ``benchmarks/soak.py``."""

import hashlib
import json
import os
import pkgutil
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from cnncli import checkpoint as checkpoints
from cnncli.run import Run

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

SERVER = """
import gc, json, os, signal, subprocess, sys, time
from cnncli.cli import main
import matplotlib.backends.backend_agg, matplotlib.figure
import cnncli.datasets.npz, cnncli.launch, cnncli.training.optimizers  # torch and all
from cnncli.registry import MODELS
from tests.killing import when
from tests.networks import TestNet

MODELS._found["testnet"] = TestNet
leave = os._exit  # at once; sys.exit takes 0.3 s to put torch away
gc.freeze()  # or forks would copy all that is looked at
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    signal.alarm(300)  # whatever hangs
    os.setsid()
    os.chdir(order["folder"])
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1), os.dup2(said, 2)
    sys.argv = ["cnn", *order["arguments"]]
    exec(order["before"])
    try:
        sys.exit(main())
    except SystemExit as end:
        print(end="", flush=True)
        leave(end.code or 0)
"""


def when(owner: str, name: str, number: int, do: Callable[[], object]) -> None:
    """In a command, ``do`` something before the call of that ``number`` of a function of ``owner``, module:class."""
    where, calls = pkgutil.resolve_name(owner), count(1)
    function = getattr(where, name)

    def called(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) == number:
            do()
        return function(*arguments, **keywords)

    setattr(where, name, called)


class Forks:
    """Commands in processes forked from one that has imported torch, each in a session of its own.

    That one is started ``inside`` what another command makes for it, such as ``unshare``.
    """

    def __init__(self, *inside: str) -> None:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.server = subprocess.Popen([*inside, sys.executable, "-c", SERVER], env=env, **pipes)

    def _asked(self, **order: Any) -> int:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def start(self, folder: Path, *arguments: str, before: str = "") -> int:
        """Start ``cnn`` in a folder, where the file ``said`` gets what it prints; return its process number.

        Python code can be run in the process ``before``; it has :func:`when`.
        """
        return self._asked(folder=str(folder), arguments=arguments, before=before)

    def wait(self, process: int) -> int:
        """Return how a process ended: its exit code, or minus the signal that killed it."""
        return self._asked(wait=process)

    def kill(self, process: int) -> None:
        """Kill a process and what it has started."""
        try:
            os.killpg(process, signal.SIGKILL)
        except ProcessLookupError:  # it has no session of its own yet
            os.kill(process, signal.SIGKILL)
        self.wait(process)


@contextmanager
def forks(*inside: str) -> Iterator[Forks]:
    """Have commands forked inside the context."""
    made = Forks(*inside)
    try:
        yield made
    finally:
        made.server.kill()
        made.server.communicate()


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
