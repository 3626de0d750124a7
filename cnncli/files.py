"""Files that are whole or as they were, whenever the process ends: written aside, made durable, renamed."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cnncli.errors import ConfigError


@contextmanager
def whole(path: Path, check: Callable[[Path], None] = lambda written: None) -> Iterator[BinaryIO]:
    """Write ``path`` whole or not at all: what is written takes its place when the context ends without an error.

    ``check`` is given the file that was written before it does, and may raise. A link stays, and what it leads to is
    written; ``ConfigError`` where that is no file, such as a device.
    """
    _check_kind(path)
    target = path.resolve() if path.is_symlink() else path
    aside = _aside(target)
    try:
        with naming(path):
            with aside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            check(aside)
            aside.replace(target)
            _sync(target.parent)
    finally:
        aside.unlink(missing_ok=True)


def check_target(path: Path, source: Path | None = None) -> None:
    """Raise ``ConfigError`` where a file cannot be written, or is the ``source`` that it is made of."""
    _check_kind(path, "--output ")
    if not path.parent.is_dir():
        raise ConfigError(f"--output {path}: there is no folder {path.parent}")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise ConfigError(f"--output {path}: is what it is made of, and would be lost; name another file")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have what goes wrong name ``path``: of a full disk the system names no file."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)
        raise


def link(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, replacing what was there; a copy where links are unknown."""
    aside = _aside(target)
    aside.unlink(missing_ok=True)
    try:
        try:
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def sweep(directory: Path) -> None:
    """Remove what a process that was killed left half written in ``directory``."""
    for left in directory.glob(".*.tmp"):
        left.unlink(missing_ok=True)


def _check_kind(path: Path, option: str = "") -> None:
    """Raise ``ConfigError`` where something other than a file would be replaced by one."""
    if path.is_dir():
        raise ConfigError(f"{option}{path}: is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{option}{path}: is a device or a pipe, which a file would replace; name a file")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _sync(directory: Path) -> None:
    """Make the names in ``directory`` durable."""
    if os.name == "nt":
        return  # where a directory can't be opened
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
