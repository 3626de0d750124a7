"""``cnn summary``."""

import re
from functools import partial
from typing import Annotated, Any

import typer

from cnncli.completion import offer_models, offer_options
from cnncli.errors import ConfigError
from cnncli.options import Json

WIDTH = 100  # columns
LONG = 24  # characters of a name or kind


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(summary)


def summary(
    model: Annotated[str, typer.Argument(help="A model's name; 'cnn models' lists them.", autocompletion=offer_models)],
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OPTION=VALUE",
            help="Set an option of the model; repeatable.",
            autocompletion=offer_options,
        ),
    ] = None,
    input_size: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="Size of an image, such as 3x64x64.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step, for the memory of training.")] = 128,
    json: Json = False,
) -> None:
    """Show a network layer by layer: sizes, formulas, parameters, multiplications.

    Example: cnn summary tinyvgg --set hidden=20 --input 3x64x64
    """
    from cnncli.analysis.summary import summarise, to_follow, to_json
    from cnncli.config.loading import Document, override
    from cnncli.config.validation import validate_options
    from cnncli.display import print_json, print_table, print_text
    from cnncli.registry import MODELS

    document = Document("options")
    for assignment in sets or ():
        override(document, assignment)
    sizes = _sizes(input_size) if input_size else {}
    for key, asked in sizes.items():
        if document.data.get(key, asked) != asked:
            raise ConfigError(f"--set {key}={document.data[key]}: contradicts --input {input_size}")
    options = document.data | sizes
    network = MODELS.get(model)
    options = validate_options("model", model, options)
    size = [options["in_channels"], options["image_size"], options["image_size"]]
    try:
        built = to_follow(partial(network, **options), size)
    except ValueError as error:
        raise ConfigError(f"{model}: {error}") from None
    result = summarise(model, built, size, options["num_classes"])
    if json:
        print_json(to_json(result))
    else:
        print_table(_table(result))
        print_text(_totals(result, batch_size))


def _sizes(text: str) -> dict[str, int]:
    match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})x([0-9]{1,6})", text)
    if not match:
        raise ConfigError(f"--input {text}: expected channels, height and width, such as 3x64x64")
    channels, height, width = map(int, match.groups())
    if height != width:
        raise ConfigError(f"--input {text}: images are square here; {channels}x{height}x{height}, say")
    return {"in_channels": channels, "image_size": height}


def _table(result: Any) -> Any:
    """Make room for names where they are long: by leaving out formulas, by narrow gaps, by the names' ends alone."""
    from rich.table import Table

    headings = ["layer", "kind", "output", "size", "weights", "biases", "MACs", "field"]
    rows = [headings, *(_cells(layer) for layer in result.layers)]
    longest = max(len(row[0]) for row in rows)
    if longest > LONG:
        rows = [row[:3] + row[4:] for row in rows]
    taken = sum(max(map(len, column)) for column in list(zip(*rows, strict=True))[1:])
    gaps = len(rows[0]) - 1
    gap = 2 if longest + taken + 2 * gaps <= WIDTH else 1
    table = Table(box=None, header_style="bold", padding=(0, gap, 0, 0), pad_edge=False)
    for heading in rows[0]:
        is_number = heading in headings[4:]
        table.add_column(heading, no_wrap=True, justify="right" if is_number else "left")
    for row in rows[1:]:
        table.add_row(_end(row[0], WIDTH - taken - gap * gaps), *row[1:])
    return table


def _cells(layer: Any) -> list[str]:
    counts = [f"{count:,}" if count else "" for count in (layer.weights, layer.biases, layer.macs)]
    formula = re.sub(" ([−+/]) ", r"\1", layer.formula)  # so that 100 columns hold it
    kind = layer.kind if len(layer.kind) <= LONG else f"{layer.kind[: LONG - 1]}…"
    return [
        layer.name,
        kind,
        "×".join(map(str, layer.output_shape)),
        formula,
        *counts,
        str(layer.receptive_field or ""),
    ]


def _end(name: str, width: int) -> str:
    return name if len(name) <= width else f"…{name[1 - width :]}"


def _totals(result: Any, batch_size: int) -> str:
    memory = result.training_bytes(batch_size)
    shape = "×".join(map(str, result.input_size))
    total = result.weights + result.biases
    fixed = f", of which {total - result.trainable:,} are fixed" if total != result.trainable else ""
    lines = [
        "",
        f"{result.model}: {shape} in, {result.num_classes:,} classes out",
        f"parameters    {total:,} = {result.weights:,} weights + {result.biases:,} biases{fixed}",
        f"computation   {result.macs:,} multiplications (MACs) an image",
        f"training      {_megabytes(sum(memory.values()))} MB at batch {batch_size}:",
        "              " + " + ".join(f"{what} {_megabytes(size)}" for what, size in memory.items()),
        "a dense layer between the same two maps would hold",
    ]
    for layer in result.layers:
        if layer.dense_weights is not None:
            times = layer.dense_weights / layer.weights
            lines.append(f"  {_end(layer.name, 40):12} {layer.dense_weights:>20,} weights, {times:,.0f} times as many")
    return "\n".join(lines)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"
