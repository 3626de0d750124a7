"""``cnn doctor``."""

from typing import TYPE_CHECKING

import typer

from cnncli.errors import MachineError
from cnncli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from cnncli.diagnosis import Check

STYLES = {"ok": "", "note": "yellow", "broken": "bold red"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(doctor)


def doctor(json: Json = False) -> None:
    """Look at versions, devices, extras and places, and say what to do about what is missing; nothing is changed.

    Exit code 5 if something is broken: a library that everything needs, or a GPU that computes nothing.

    Example: cnn doctor
    """
    from dataclasses import asdict

    from cnncli.diagnosis import diagnose
    from cnncli.display import print_json, print_table, print_text

    checks = list(diagnose())
    broken = [check.name for check in checks if check.state == "broken"]
    if json:
        print_json({"broken": broken, "checks": [asdict(check) for check in checks]})
    else:
        print_table(_table(checks))
        print_text(_summary(checks))
    if broken:
        raise MachineError(f"broken: {', '.join(broken)}" + ("; the lines with → say what to do" if not json else ""))


def _table(checks: "list[Check]") -> "Table":
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    group = ""
    for check in checks:
        if group not in ("", check.group):
            table.add_row()
        found = check.found + (f"\n→ {check.advice}" if check.advice else "")
        table.add_row(check.group if check.group != group else "", check.name, found, style=STYLES[check.state])
        group = check.group
    return table


def _summary(checks: "list[Check]") -> str:
    from cnncli.text import counted

    notes, broken = (sum(check.state == state for check in checks) for state in ("note", "broken"))
    better = f"{counted(notes, 'thing')} could be better" if notes else "there is nothing to do"
    return f"\n{broken or 'nothing'} {'are' if broken > 1 else 'is'} broken, {better}"
