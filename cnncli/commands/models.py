"""``cnn models``."""

from typing import Any

import typer

from cnncli.options import Json


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(models)


def models(json: Json = False) -> None:
    """List the models: input, classes, parameters.

    Example: cnn models
    """
    from cnncli.display import Display, print_json, print_table
    from cnncli.registry import MODELS

    with Display() as display:
        names = [*MODELS.names(), *(name for family in MODELS.families() for name in MODELS.members(family))]
        rows = [_row(name) for name in display.follow(names, len(names), "models")]
    print_json({"models": rows}) if json else print_table(_table(rows))


def _row(name: str) -> dict[str, Any]:
    from cnncli.config.validation import validate_options
    from cnncli.registry import MODELS

    network: Any = MODELS.get(name)
    options = validate_options("model", name, {})
    stated = vars(network).get("num_parameters")
    return {
        "name": name,
        "input_size": [options["in_channels"], options["image_size"], options["image_size"]],
        "num_classes": options["num_classes"],
        "parameters": _counted(network, options) if stated is None else stated,
        "about": (network.__doc__ or "").strip().partition("\n")[0],
    }


def _counted(network: Any, options: dict[str, Any]) -> int:
    """Count the trainable parameters of a model, of another package say, that does not state them."""
    import torch

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in network(**options).parameters() if parameter.requires_grad)


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("input", no_wrap=True)
    table.add_column("classes", justify="right")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("what it is")
    for row in rows:
        shape = "×".join(map(str, row["input_size"]))
        is_one_of_many = "/" in row["name"]  # of which a line each is enough
        about = Text(row["about"], no_wrap=is_one_of_many, overflow="ellipsis" if is_one_of_many else "fold")
        table.add_row(row["name"], shape, f"{row['num_classes']:,}", f"{row['parameters']:,}", about)
    return table
