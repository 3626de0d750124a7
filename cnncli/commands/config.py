"""``cnn config``: what may stand in a config, and what comes with the package."""

from typing import Annotated

import typer

from cnncli.completion import offer_configs
from cnncli.options import Sets

app = typer.Typer(no_args_is_help=True)


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="config", help="List, show and check config files.")


@app.command()
def ls() -> None:
    """List the bundled configs, and the names that a config may use.

    Example: cnn config ls
    """
    from rich.table import Table

    from cnncli.config.loading import bundled_names
    from cnncli.display import print_table
    from cnncli.registry import DATASETS, MODELS

    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    rows = {"configs": bundled_names(), "models": MODELS.choice(), "data sets": DATASETS.choice()}
    for kind, names in rows.items():
        table.add_row(kind, ", ".join(names))
    print_table(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A bundled config, or a file.", autocompletion=offer_configs)],
) -> None:
    """Print a config file.

    Example: cnn config show lenet5 > mine.yaml
    """
    from cnncli.config.loading import find, text_of
    from cnncli.display import print_text

    print_text(text_of(find(name)).replace("\r\n", "\n").rstrip("\n"))


@app.command()
def validate(
    file: Annotated[str, typer.Argument(help="A file, or a bundled config.", autocompletion=offer_configs)],
    sets: Sets = None,
) -> None:
    """Check a config file as training would, without reading an image.

    Example: cnn config validate mine.yaml
    """
    from cnncli.config.validation import load_config
    from cnncli.display import print_text
    from cnncli.experiment import Experiment

    config = load_config(file, sets or ())
    config.runtime.device = "cpu"  # which machine it will run on is no matter here
    Experiment.prepare(config)
    print_text(f"{file}: {config.model.name} on {config.data.name}, {config.train.epochs} epochs; nothing wrong")


@app.command()
def schema() -> None:
    """Print the JSON Schema of config files, for editors.

    Example: cnn config schema > schema.json
    """
    import json

    from cnncli.config.schema import json_schema
    from cnncli.display import print_text

    print_text(json.dumps(json_schema(), indent=2, ensure_ascii=False))
