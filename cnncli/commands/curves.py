"""``cnn curves``."""

from pathlib import Path
from typing import Annotated

import typer

from cnncli.completion import offer_runs


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(curves)


def curves(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN…", help="Run directories, such as runs/lenet5.", autocompletion=offer_runs),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The PNG; curves.png in the run, or here for several.")
    ] = None,
) -> None:
    """Draw loss and accuracy of one run again, or of several over each other.

    Example: cnn curves runs/lenet5 runs/lenet5-2 -o both.png
    """
    from cnncli.display import print_text
    from cnncli.pages.curves import draw_curves
    from cnncli.pages.picture import check_picture
    from cnncli.run import Run, read_history_of

    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(runs):
        names = [str(run) for run in runs]
    histories = {name: read_history_of(run) for name, run in zip(names, runs, strict=True)}
    if output is None:
        output = Run(runs[0]).curves if len(runs) == 1 else Path("curves.png")
    check_picture(output)
    draw_curves(histories, output)
    print_text(str(output))
