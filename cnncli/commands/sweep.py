"""``cnn sweep``."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnncli.errors import Interrupted, Terminated
from cnncli.options import ConfigArgument, Json, Sets

if TYPE_CHECKING:
    from rich.table import Table


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(sweep)


def sweep(
    config: ConfigArgument,
    params: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="KEY=RANGE", help="A field and its values: 0..4, log:1e-3..1e-1 or 32,64,128."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, max=100_000, help="Trials in all, those of before included.")] = 20,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Search for the values of some fields that give the best validation accuracy; the same command goes on.

    Trials that are worse than the median after an epoch are stopped. The test images are not looked at.

    Example: cnn sweep lenet5 --param optimizer.lr=log:1e-3..1e-1 --param augment.shift=0..4 --trials 20
    """
    from cnncli import sweeping
    from cnncli.config.space import parse_space
    from cnncli.display import Display, print_json, print_table, print_text
    from cnncli.signals import ending

    space = parse_space(params or [])
    try:
        with ending(), Display() as display:
            result = sweeping.sweep(config, sets or [], space, trials, display)
    except (Interrupted, Terminated) as stop:
        again = shlex.join(["cnn", *sys.argv[1:]])
        raise type(stop)(f"stopped; all trials so far are kept. Go on with the same command: {again}") from None
    if json:
        print_json(result)
    else:
        print_table(_table(result, [parameter.key for parameter in space]))
        print_text(_summary(result, ["cnn", "train", "--config", config], sets or []))


def _table(result: dict[str, Any], keys: list[str]) -> "Table":
    from rich.table import Table

    from cnncli.text import one_line

    table = Table(box=None, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("trial", justify="right", no_wrap=True)
    for key in keys:
        table.add_column(one_line(key).replace(".", ".\n"), justify="right", overflow="fold")
    table.add_column("val", justify="right", no_wrap=True)
    table.add_column("epochs", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for row in result["trials"]:
        values = [row["params"].get(key, "") for key in keys]
        shown = [f"{value:.4g}" if isinstance(value, float) else one_line(str(value)) for value in values]
        accuracy = f"{row['val_accuracy']:.2%}" if row["val_accuracy"] is not None else "none"
        table.add_row(str(row["trial"]), *shown, accuracy, str(row["epochs"]), row["state"])
    return table


def _summary(result: dict[str, Any], train: list[str], sets: list[str]) -> str:
    lines = [f"picture  {result['picture']}"]
    if (best := result["best"]) is None:
        return "\n".join([*lines, "no trial was trained to its end: --json says what happened to each"])
    assignments = [*sets, *(f"{key}={value}" for key, value in best["params"].items())]
    anew = [*train, *(word for assignment in assignments for word in ("--set", assignment))]
    checkpoint = f"{best['run_dir']}/checkpoints/best.pt"
    return "\n".join(
        [
            f"best     trial {best['trial']}: validation accuracy {best['val_accuracy']:.2%}",
            *lines,
            f"test it, once: cnn eval {shlex.quote(checkpoint)}",
            f"or train it anew, which tests it at the end: {shlex.join(anew)}",
        ]
    )
