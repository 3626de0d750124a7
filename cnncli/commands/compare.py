"""``cnn compare``."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnncli.completion import offer_runs
from cnncli.errors import ConfigError
from cnncli.options import Device, Json

if TYPE_CHECKING:
    from rich.table import Table

    from cnncli.analysis.comparison import Result
    from cnncli.results import Entry

MEASURES = ("loss", "accuracy")
LONGEST_NAME = 36  # characters of a run's name in a legend
LONGEST_VALUE = 300  # characters of a config's value, such as a list of transforms


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(compare)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN…", help="Run directories, or checkpoints.", autocompletion=offer_runs),
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Test all on other images: an .npz file or a folder.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The PNG of the curves.")] = Path("comparison.png"),
    device: Device = None,
    json: Json = False,
) -> None:
    """Say how runs differ, in configs, results and curves, and whether that is more than luck.

    Example: cnn compare runs/lenet5 runs/shifted -o both.png
    """
    from cnncli.display import Display, print_json
    from cnncli.pages.curves import draw_curves
    from cnncli.results import entry_of, result_of
    from cnncli.text import one_line

    _check(runs, output)
    letters = ascii_lowercase[: len(runs)]
    entries = [entry_of(path) for path in runs]
    drawn = {_legend(letter, e.path): e.history for letter, e in zip(letters, entries, strict=True) if e.history}
    results = []
    with Display() as display:
        for letter, entry in zip(letters, entries, strict=True):
            display.note(f"{letter}  {one_line(str(entry.checkpoint))}")
            results.append(result_of(entry, data, device, display))
            for note in results[-1].notes:
                display.note(f"warning: {letter}: {note}")
    if drawn and display.speaks:
        draw_curves(drawn, output)
    found = _compared(letters, entries, results) | {"curves": str(output) if drawn else None}
    if display.speaks:
        print_json(found) if json else _print(found)


def _check(runs: list[Path], output: Path) -> None:
    from cnncli.pages.picture import check_picture

    if not 2 <= len(runs) <= len(ascii_lowercase):
        raise ConfigError(f"2 to {len(ascii_lowercase)} runs can be compared, got {len(runs)}; 'cnn eval' scores one")
    where = [run.resolve() for run in runs]
    if twice := [run for run in runs if where.count(run.resolve()) > 1]:
        raise ConfigError(f"{twice[0]} is named twice; name each run once")
    check_picture(output)


def _legend(letter: str, path: Path) -> str:
    """Return a name with its letter, of which a long one is cut, for the curves."""
    name = str(path)
    return f"{letter}  {name if len(name) <= LONGEST_NAME else '…' + name[1 - LONGEST_NAME :]}"


def _compared(letters: str, entries: "Sequence[Entry]", results: "Sequence[Result]") -> dict[str, Any]:
    """Return what ``--json`` prints; runs go by letters."""
    from cnncli.analysis.comparison import contrasts_of, differences, groups_of, in_words, pairs_of

    pairs, groups = pairs_of(results), groups_of(results)
    contrasts = contrasts_of(results, groups)
    rows = [_row(*each) for each in zip(letters, entries, results, strict=True)]
    return {
        "runs": rows,
        "differences": differences([result.config for result in results]),
        "groups": [{"runs": [letters[n] for n in group.members], **asdict(group.spread)} for group in groups],
        "contrasts": [asdict(contrast) for contrast in contrasts],
        "pairs": [asdict(pair) | {"first": letters[pair.first], "second": letters[pair.second]} for pair in pairs],
        "verdict": in_words(letters, groups, contrasts, pairs),
    }


def _row(letter: str, entry: "Entry", result: "Result") -> dict[str, Any]:
    from cnncli.analysis.significance import wilson_interval
    from cnncli.history import best_row

    best, test = best_row(entry.history), result.test
    return {
        "name": letter,
        "run": str(entry.path),
        "checkpoint": str(entry.checkpoint),
        "best": best and {"epoch": best["epoch"], "val": {name: _finite(best["val"][name]) for name in MEASURES}},
        "test": test
        and {
            "accuracy": test.accuracy,
            "interval": wilson_interval(round(test.accuracy * test.num_images), test.num_images),
            "loss": _finite(test.loss),
            "num_images": test.num_images,
        },
        "epochs": len(entry.history),
        "seconds": sum(s for row in entry.history if isinstance(s := row.get("seconds"), float)),
        "parameters": result.parameters,
        "notes": list(result.notes),
    }


def _finite(number: float) -> float | None:
    return number if isfinite(number) else None  # JSON has neither infinity nor NaN


def _print(found: dict[str, Any]) -> None:
    from cnncli.display import print_table, print_text
    from cnncli.text import one_line

    print_text("\n".join(f"{row['name']}  {one_line(row['run'])}" for row in found["runs"]) + "\n")
    if found["differences"]:
        print_table(_differences(found))
    print_text("" if found["differences"] else "their configs do not differ\n")
    print_table(_results(found["runs"]))
    print_text("\n".join(["", *(found["verdict"] or ["no verdict: no two were tested on the same images"])]))
    if found["curves"]:
        print_text(f"\ncurves  {found['curves']}")


def _differences(found: dict[str, Any]) -> "Table":
    table = _table("", *(row["name"] for row in found["runs"]))
    for key, values in found["differences"].items():
        table.add_row(*map(_shown, [key, *values]))
    return table


def _shown(value: Any) -> str:
    from cnncli.text import one_line

    words = {True: "true", False: "false", None: "–"}
    text = one_line(words[value] if isinstance(value, bool | None) else str(value))
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _results(rows: list[dict[str, Any]]) -> "Table":
    table = _table("", "best epoch", "val", "test", "95 % interval", "loss", "epochs", "seconds", "weights", "images")
    for row in rows:
        best, test = row["best"], row["test"]
        table.add_row(
            row["name"],
            *([f"{best['epoch']}", f"{best['val']['accuracy']:.2%}"] if best else "––"),
            *([f"{test['accuracy']:.2%}", "{:.2%} to {:.2%}".format(*test["interval"])] if test else "––"),
            f"{test['loss']:.4f}" if test and test["loss"] is not None else "–",
            f"{row['epochs']}",
            f"{row['seconds']:.1f}",
            f"{row['parameters']:,}" if row["parameters"] is not None else "–",
            f"{test['num_images']:,}" if test else "–",
        )
    return table


def _table(first: str, *others: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table
