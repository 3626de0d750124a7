"""Commands in processes that are forked from one that has imported torch, which takes three seconds."""

import json
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any

SERVER = """
import gc, json, os, signal, subprocess, sys, time
from cnncli.cli import main
import matplotlib.backends.backend_agg, matplotlib.figure
import cnncli.datasets.npz, cnncli.launch, cnncli.training.optimizers  # torch and all
from cnncli.registry import MODELS
from tests.forks import when
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
    for stream, file in enumerate(order["files"], start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), stream)
    os.environ.clear()
    os.environ.update(order["environment"])
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
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.server = subprocess.Popen([*inside, sys.executable, "-c", SERVER], env=env, **pipes)

    def _asked(self, **order: Any) -> int:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def start(
        self,
        folder: Path,
        *arguments: str,
        before: str = "",
        files: tuple[str, str] = ("said", "said"),
        environment: dict[str, str] | None = None,
    ) -> int:
        """Start ``cnn`` in a folder, where ``files`` get stdout and stderr; return its process number.

        Python code can be run in the process ``before``; it has :func:`when`.
        """
        environment = dict(os.environ) if environment is None else environment
        order = {"folder": str(folder), "arguments": arguments, "before": before}
        return self._asked(**order, files=files, environment=environment)

    def run(self, folder: Path, arguments: list[str], environment: dict[str, str]) -> "CompletedProcess[str]":
        """Run ``cnn`` in a folder to its end and return what it printed."""
        with TemporaryDirectory() as elsewhere:
            files = f"{elsewhere}/stdout", f"{elsewhere}/stderr"
            code = self.wait(self.start(folder, *arguments, files=files, environment=environment))
            return CompletedProcess(arguments, code, *(Path(file).read_text() for file in files))

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
def forking(*inside: str) -> Iterator[Forks]:
    """Have commands forked inside the context."""
    made = Forks(*inside)
    try:
        yield made
    finally:
        made.server.kill()
        made.server.communicate()
