"""``cnn kernels``."""

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnncli.errors import CheckpointError, ConfigError
from cnncli.options import CheckpointPath, Json
from cnncli.text import listed, one_line

if TYPE_CHECKING:
    from rich.table import Table

    from cnncli.analysis.kernels import Convolution


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(kernels)


def kernels(
    checkpoint: CheckpointPath,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="A convolution, such as features.3; else the first is drawn.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The picture, a PNG; else numbers alone.")
    ] = None,
    json: Json = False,
) -> None:
    """Draw the kernels of a convolution, or list the convolutions of a network with the range of their weights.

    The first layer of a network for colour images is drawn in colours; others as heat maps, a row an output map and
    a column an input channel. --json adds the norm of each output map's kernels, and with --layer of each kernel.

    Example: cnn kernels runs/tinyvgg/checkpoints/best.pt -o kernels.png
    """
    from cnncli.analysis.kernels import convolutions, describe
    from cnncli.checkpoint import load
    from cnncli.display import print_json, print_table, print_text
    from cnncli.pages.kernels import draw_kernels
    from cnncli.pages.picture import check_picture

    if output is not None:
        check_picture(output)
    loaded = load(checkpoint)
    found = convolutions(loaded.build())
    if not found:
        raise CheckpointError(f"{checkpoint}: {loaded.model} has no convolution, and so no kernels to show")
    chosen = found if layer is None else [_named(layer, found)]
    numbers = [describe(convolution, each_kernel=layer is not None) for convolution in chosen]
    shown = draw_kernels(chosen[0], loaded.model, output) if output is not None else None
    if json:
        picture = {"path": str(output), "layer": chosen[0].name, **vars(shown)} if shown is not None else None
        print_json({"model": loaded.model, "layers": numbers, "picture": picture})
    elif shown is None:
        print_table(_table(numbers))
    else:
        lines = [f"layer    {one_line(chosen[0].name)}", shown.left_out, f"picture  {output}"]
        print_text("\n".join(filter(None, lines)))


def _named(name: str, found: "list[Convolution]") -> "Convolution":
    for convolution in found:
        if convolution.name == name:
            return convolution
    names = [convolution.name for convolution in found]
    near = get_close_matches(name, names, n=1)
    hint = f"; did you mean {one_line(near[0])}?" if near else ""
    raise ConfigError(f"--layer {name}: no convolution of this network{hint}\nits convolutions are {listed(names)}")


def _table(layers: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("layer", overflow="fold")
    for heading in ("maps×channels×kernel", "kernels", "min", "max", "mean", "std"):
        table.add_column(heading, no_wrap=True, justify="right")
    for layer in layers:
        maps, channels, *_ = layer["shape"]
        holes = f" of {maps * channels:,}" if layer["num_kernels"] < maps * channels else ""
        numbers = [f"{layer[key]:z.4f}" for key in ("min", "max", "mean", "std")]
        shape = "×".join(map(str, layer["shape"]))
        table.add_row(one_line(layer["name"]), shape, f"{layer['num_kernels']:,}{holes}", *numbers)
    return table
