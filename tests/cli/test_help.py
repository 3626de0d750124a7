"""Every command's help: one example that works, and no wider than 100 columns."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cnncli.cli import app

ROOT: Any = typer.main.get_command(app)


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command that does something, such as data check."""
    if not hasattr(command, "commands"):
        yield path
        return
    for name, inner in command.commands.items():
        yield from commands(inner, *path, name)


@pytest.mark.parametrize("path", [" ".join(path) for path in commands(ROOT)])
def test_a_command_has_one_example_that_it_understands(path: str) -> None:
    words = path.split()
    command = ROOT
    for word in words:
        command = command.commands[word]
    about, *examples = command.help.split("Example: ")
    assert about.strip()
    assert len(examples) == 1
    ours = [part for part in re.split(r" [|>] ", examples[0].strip()) if part.startswith("cnn ")]
    assert len(ours) == 1
    said = shlex.split(ours[0])[1:]
    assert said[: len(words)] == words
    command.make_context("cnn", said[len(words) :])  # ends with an error where it is not understood


@pytest.mark.parametrize("path", sorted({" ".join(path[:n]) for path in commands(ROOT) for n in range(len(path) + 1)}))
def test_help_fits_into_100_columns(path: str) -> None:
    shown = CliRunner().invoke(app, [*path.split(), "--help"], env={"COLUMNS": "100"})
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 100
