"""``cnn models``."""

from typing import Annotated, Any

import typer


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(models)


def models(json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False) -> None:
    """List the models: input, classes, parameters.

    Example: cnn models
    """
    import torch

    from cnncli.analysis.summary import summarise
    from cnncli.config.validation import validate_options
    from cnncli.display import print_json, print_table
    from cnncli.registry import MODELS

    rows: list[dict[str, Any]] = []
    for name in MODELS.names():
        network = MODELS.get(name)
        options = validate_options("model", name, {})
        with torch.device("meta"):
            built = network(**options)
        size = [options["in_channels"], options["image_size"], options["image_size"]]
        trainable = summarise(name, built, size, options["num_classes"]).trainable
        about = (network.__doc__ or "").strip().partition("\n")[0]
        rows.append(
            {
                "name": name,
                "input_size": size,
                "num_classes": options["num_classes"],
                "parameters": trainable,
                "about": about,
            }
        )
    print_json({"models": rows}) if json else print_table(_table(rows))


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("input", no_wrap=True)
    table.add_column("classes", justify="right")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("what it is")
    for row in rows:
        shape = "×".join(map(str, row["input_size"]))
        table.add_row(row["name"], shape, f"{row['num_classes']:,}", f"{row['parameters']:,}", row["about"])
    return table
