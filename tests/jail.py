"""A command in a process of its own, with two seconds and 500 MB, that ends at once where it does what no file may ask.

Run as a script, it imports what commands need, once, and then forks for each command that it is told on its stdin.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

SECONDS, BYTES = 2, 500_000_000
RAN = 99  # exit code where code ran, or something was written outside
FORBIDDEN = {
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn"),
    *("subprocess.Popen", "socket.connect", "socket.getaddrinfo", "socket.bind", "webbrowser.open"),
}
WRITING = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}


class Done(NamedTuple):
    """How a command ended."""

    exit_code: int  # below 0: killed by that signal
    out: str
    err: str


class Jail:
    """The other end of the script."""

    def __init__(self) -> None:
        one_thread = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1")
        environment = {**os.environ, **one_thread, "COLUMNS": "100", "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, __file__]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, encoding="utf-8"
        )

    def run(self, folder: Path, *arguments: str) -> Done:
        """Run ``cnn`` with arguments in a folder, outside which nothing may be written."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(folder), *arguments]) + "\n")
        self.process.stdin.flush()
        return Done(*json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """End the script."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def _serve() -> None:
    import torch
    import torchvision.transforms.v2  # noqa: F401

    from cnncli import cli, experiment, models, session  # noqa: F401
    from cnncli.config.validation import load_config

    experiment.Experiment.prepare(load_config("lenet5", ["data.limit=1", "runtime.device=cpu"]))
    torch.zeros(1).sum()
    for line in sys.stdin:
        folder, *arguments = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                _run(folder, arguments, out.fileno(), err.fileno())
            _, status = os.waitpid(child, 0)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        sys.stdout.write(json.dumps([os.waitstatus_to_exitcode(status), *texts]) + "\n")
        sys.stdout.flush()


def _run(folder: str, arguments: list[str], out: int, err: int) -> None:
    """Be the command; does not return."""
    from cnncli import cli

    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(folder)
    _limit()
    sys.addaudithook(lambda event, details: _watch(event, details, folder))
    sys.argv = ["cnn", *arguments]
    code: Any = 1
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    if sys.platform == "linux":  # others do not keep to it
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _watch(event: str, details: tuple[Any, ...], folder: str) -> None:
    paths = details if event in WRITING else ()
    if event == "open":
        path, mode, flags = details
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(mode or "") & set("wax+")
        paths = (path,) if writes else ()
    outside = [path for path in paths if isinstance(path, str | bytes) and not _is_inside(path, folder)]
    if event in FORBIDDEN or outside:
        os.write(2, f"forbidden: {event} {details!r}\n".encode())
        os._exit(RAN)


def _is_inside(path: str | bytes, folder: str) -> bool:
    return os.path.realpath(os.fsdecode(path)).startswith((os.path.realpath(folder) + os.sep, os.devnull))


if __name__ == "__main__":
    _serve()
