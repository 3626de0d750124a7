"""The run directory: all that a run knows, its lock, and its history."""

import csv
import io
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cnncli import files, ranks
from cnncli.errors import CheckpointError, ConfigError, MachineError, RunBusyError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Run:
    """The files of one run; see the README for what is in each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.history = path / "history.jsonl"
        self.steps = path / "steps.jsonl"
        self.metrics = path / "metrics.csv"
        self.curves = path / "curves.png"
        self.environment = path / "environment.json"
        self.tensorboard = path / "tensorboard"
        self.lock = path / ".lock"
        self.last = path / "checkpoints" / "last.pt"
        self.best = path / "checkpoints" / "best.pt"

    def of_epoch(self, number: int) -> Path:
        """Return where the checkpoint of an epoch is kept that is one of several best."""
        return self.last.parent / f"epoch-{number}.pt"

    @classmethod
    def create(cls, output: Path, name: str) -> "Run":
        """Make ``output/name``, or ``output/name-2`` and so on where that is taken; ``MachineError`` if it cannot."""
        with _writable(output):
            output.mkdir(parents=True, exist_ok=True)
            path, number = output / name, 1
            while True:
                try:
                    path.mkdir()
                    break
                except FileExistsError:
                    number += 1
                    path = output / f"{name}-{number}"
        return cls.at(path)

    @classmethod
    def at(cls, path: Path) -> "Run":
        """Make the directory ``path``, or take one that is empty or a run's; ``MachineError`` if it cannot."""
        run = cls(path)
        found = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        if not found <= {"checkpoints"} and not found & {run.config.name, run.lock.name}:
            raise ConfigError(f"{path} is no run directory, and not empty; choose another --name or --output")
        with _writable(path.parent):
            run.last.parent.mkdir(parents=True, exist_ok=True)
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Find a run to go on with; ``CheckpointError`` if ``path`` is none."""
        run = cls(path)
        if not run.config.is_file():
            raise CheckpointError(f"{path} is no run directory: it has no config.yaml")
        if not run.is_begun:
            raise CheckpointError(f"{path} has no checkpoint; begin it again with: cnn train --config {run.config}")
        return run

    @property
    def is_begun(self) -> bool:
        """Whether there is a checkpoint, of whatever generation."""
        return any(self.last.parent.glob("last*.pt"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing here; ``RunBusyError`` if one does. A dead one's lock is none.

        Of several processes of a run the first keeps the lock for all. What a process that was killed left half
        written is removed. A run that ends before its first checkpoint leaves nothing of its own behind.
        """
        if ranks.rank() != 0:
            yield
            return
        with self.lock.open("a+") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.seek(0)
                    raise RunBusyError(
                        f"{self.path} is in use by process {file.read() or '?'};"
                        " wait for its end, or train under another --name"
                    ) from None
            file.truncate(0)
            file.write(f"{os.getpid()} on {socket.gethostname()}")
            file.flush()
            for directory in (self.path, self.last.parent):
                files.sweep(directory)
            try:
                yield
            finally:
                if not self.is_begun and not self.read_history():
                    self._remove()

    def _remove(self) -> None:
        for path in (self.config, self.environment, self.history, self.steps, self.metrics, self.lock):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # where there is something else, it stays
            self.last.parent.rmdir()
            self.path.rmdir()

    def log_epoch(self, row: dict[str, Any]) -> None:
        """Append an epoch to history.jsonl and, flat, to metrics.csv."""
        _append(self.history, _line(row))
        if _first_line(self.metrics) == ",".join(_flat(row)):
            _append(self.metrics, _table([row], with_header=False))
        else:  # the first, or one that measures something else than those before
            _write(self.metrics, _table(self.read_history(), with_header=True))

    def log_step(self, row: dict[str, Any]) -> None:
        """Append a row to steps.jsonl."""
        _append(self.steps, _line(row))

    def read_history(self) -> list[dict[str, Any]]:
        """Return the epochs so far; a last line that was cut short is left out."""
        return _read(self.history)

    def read_steps(self) -> list[dict[str, Any]]:
        """Return the rows of steps.jsonl so far; a last line that was cut short is left out."""
        return _read(self.steps)

    def cut(self, history: list[dict[str, Any]], step: int) -> bool:
        """Have ``history`` be the epochs so far, and drop the rows after ``step``; return whether epochs were dropped.

        What was dropped will be done again.
        """
        dropped = len(self.read_history()) > len(history)
        _write(self.steps, "".join(_line(row) for row in self.read_steps() if row["step"] <= step))
        _write(self.history, "".join(map(_line, history)))
        _write(self.metrics, _table(history, with_header=True))
        return dropped

    def write_config(self, text: str) -> None:
        """Write config.yaml."""
        _write(self.config, text)

    def read_environment(self) -> dict[str, Any]:
        """Return what environment.json holds."""
        found: dict[str, Any] = json.loads(self.environment.read_text()) if self.environment.exists() else {}
        return found

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Write environment.json."""
        _write(self.environment, json.dumps(environment, indent=2) + "\n")


def read_history_of(path: Path) -> list[dict[str, Any]]:
    """Return the epochs of a run directory; ``ConfigError`` if there are none."""
    rows = Run(path).read_history()
    if not rows:
        raise ConfigError(f"{path}: no epochs in it; expected a run directory with a history.jsonl")
    return rows


@contextmanager
def _writable(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"cannot write run directories to {output}: {error.strerror}; choose another with --output"
        ) from None


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"


def _append(path: Path, text: str) -> None:
    with files.naming(path), path.open("a", newline="") as file:
        file.write(text)


def _write(path: Path, text: str) -> None:
    with files.whole(path) as file:
        file.write(text.encode())


def _first_line(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open() as file:
        return file.readline().rstrip("\n")


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines, up to one that is not whole; none where the file is absent."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError):
                break
    return rows


def _table(rows: list[dict[str, Any]], with_header: bool) -> str:
    """Return rows as CSV."""
    flat = [_flat(row) for row in rows]
    text = io.StringIO()
    if flat:
        names = dict.fromkeys(name for row in flat for name in row)
        writer = csv.DictWriter(text, fieldnames=list(names), lineterminator="\n")
        if with_header:
            writer.writeheader()
        writer.writerows(flat)
    return text.getvalue()


def _flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}_")
        elif value is not None:
            flat[prefix + key] = value
    return flat
