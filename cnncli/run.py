"""The run directory: all that a run knows, its lock, and its history."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
        self.last = path / "checkpoints" / "last.pt"
        self.best = path / "checkpoints" / "best.pt"

    @classmethod
    def create(cls, output: Path, name: str) -> "Run":
        """Make ``output/name``, or ``output/name-2`` and so on where that is taken; ``MachineError`` if it cannot."""
        try:
            output.mkdir(parents=True, exist_ok=True)
            path, number = output / name, 1
            while True:
                try:
                    path.mkdir()
                    break
                except FileExistsError:
                    number += 1
                    path = output / f"{name}-{number}"
            (path / "checkpoints").mkdir()
        except OSError as error:
            raise MachineError(
                f"cannot write run directories to {output}: {error.strerror}; choose another with --output"
            ) from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Find an existing run; ``CheckpointError`` if ``path`` is none."""
        run = cls(path)
        if not run.config.is_file():
            raise CheckpointError(f"{path} is no run directory: it has no config.yaml")
        return run

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing here; ``RunBusyError`` if one does. A dead one's lock is none.

        A run that ends before its first checkpoint leaves no directory behind.
        """
        with (self.path / ".lock").open("a+") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.seek(0)
                    raise RunBusyError(f"{self.path} is in use by process {file.read() or '?'}") from None
            file.truncate(0)
            file.write(f"{os.getpid()}")
            file.flush()
            try:
                yield
            finally:
                if not any(self.last.parent.iterdir()):
                    shutil.rmtree(self.path, ignore_errors=True)

    def log_epoch(self, row: dict[str, Any]) -> None:
        """Append an epoch to history.jsonl and, flat, to metrics.csv."""
        _append(self.history, [row])
        flat, is_new = _flat(row), not self.metrics.exists()
        with self.metrics.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(flat))
            if is_new:
                writer.writeheader()
            writer.writerow(flat)

    def log_step(self, row: dict[str, Any]) -> None:
        """Append a row to steps.jsonl."""
        _append(self.steps, [row])

    def read_history(self) -> list[dict[str, Any]]:
        """Return the epochs so far; a last line that was cut short is left out."""
        return _read(self.history)

    def cut(self, epoch: int, step: int) -> list[dict[str, Any]]:
        """Drop the rows after ``epoch`` and ``step``, which will be taken again; return the epochs that stay."""
        history = [row for row in self.read_history() if row["epoch"] <= epoch]
        steps = [row for row in _read(self.steps) if row["step"] <= step]
        for path in (self.history, self.metrics, self.steps):
            path.unlink(missing_ok=True)
        for row in history:
            self.log_epoch(row)
        _append(self.steps, steps)
        return history

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Write environment.json."""
        self.environment.write_text(json.dumps(environment, indent=2) + "\n")


def read_history_of(path: Path) -> list[dict[str, Any]]:
    """Return the epochs of a run directory; ``ConfigError`` if there are none."""
    rows = Run(path).read_history()
    if not rows:
        raise ConfigError(f"{path}: no epochs in it; expected a run directory with a history.jsonl")
    return rows


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines, up to one that is not whole; none where the file is absent."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
    return rows


def _flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}_")
        elif value is not None:
            flat[prefix + key] = value
    return flat
