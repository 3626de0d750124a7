"""``cnn import``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cnncli.completion import offer_models, offer_options
from cnncli.errors import ConfigError
from cnncli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from cnncli.checkpoint import Checkpoint


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("import")(import_weights)


def import_weights(
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="A .safetensors file, or a .pt or .pth of torch.")],
    model: Annotated[
        str, typer.Option(help="The model they are for; 'cnn models' lists them.", autocompletion=offer_models)
    ],
    classes: Annotated[
        Path, typer.Option(metavar="FILE", help="Names of the classes: JSON, or a text file with a name a line.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The checkpoint to write.")],
    match: Annotated[
        Literal["name", "order"],
        typer.Option(help="What goes together: equal names, or the k-th tensor of a shape and the k-th parameter."),
    ] = "name",
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OPTION=VALUE",
            help="Set an option of the model; repeatable.",
            autocompletion=offer_options,
        ),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="M,M,M", help="Per channel, of pixels in [0, 1], subtracted; else 0.")
    ] = None,
    std: Annotated[
        str | None, typer.Option(metavar="S,S,S", help="Per channel, of pixels in [0, 1], divided by; else 1.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Pixels a side that the network sees; else the model's own.")
    ] = None,
    canvas: Annotated[
        int | None, typer.Option(min=1, help="Pixels a side that pictures are brought to, the middle of which is seen.")
    ] = None,
    resize: Annotated[
        Literal["squash", "crop", "pad"], typer.Option(help="How pictures become square, as data.resize in a config.")
    ] = "squash",
    interpolation: Annotated[
        Literal["bilinear", "bicubic"], typer.Option(help="How pictures are scaled, as data.interpolation in a config.")
    ] = "bilinear",
    json: Json = False,
) -> None:
    """Make a checkpoint of weights that another program trained, with their classes and preprocessing.

    A file that --output names already is kept beside it as *.prev.pt.

    Example: cnn import vgg.safetensors --model tinyvgg --classes labels.json -o tinyvgg.pt
    """
    from cnncli import checkpoint as checkpoints
    from cnncli import files, foreign
    from cnncli.display import Display, print_json, print_table, print_text
    from cnncli.labels import read_labels

    display = Display()
    files.check_target(output, weights)
    names = read_labels(classes)
    target = foreign.Target.of(model, _options(sets or []), len(names), size)
    how = {"canvas": canvas or 0, "resize": resize, "interpolation": interpolation}
    preprocess = target.preprocess(size, _numbers("mean", mean, 0.0), _numbers("std", std, 1.0), **how)
    tensors = foreign.read_weights(weights, display.note)
    pairs = foreign.match(target, tensors, match)
    imported = foreign.checkpoint_of(target, names, preprocess, tensors, pairs, display.note)
    if mean is None and std is None:
        display.note("the network sees pixels scaled to [0, 1]; if it was trained otherwise, say so: --mean, --std")
    was_there = output.exists()
    checkpoints.save(imported, output)
    if was_there:
        display.note(f"what {output} was before is kept as {checkpoints.previous(output)}")
    if json:
        print_json(_result(imported, output, match, pairs))
        return
    if match == "order":
        print_table(_table(imported, pairs))
    print_text(_summary(imported, output))


def _options(sets: list[str]) -> dict[str, Any]:
    from cnncli.config.loading import Document, override

    document = Document("options")
    for assignment in sets:
        if "=" not in assignment:
            raise ConfigError(f"--set {assignment}: expected OPTION=VALUE, such as hidden=10")
        override(document, assignment.removeprefix("model."))
    return document.data


def _numbers(flag: str, text: str | None, default: float) -> list[float]:
    try:
        return [default] if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--{flag} {text}: expected one number, or one for each channel, as 0.5,0.4,0.4") from None


def _result(imported: "Checkpoint", output: Path, match: str, pairs: dict[str, str]) -> dict[str, Any]:
    return {
        "checkpoint": str(output),
        "model": imported.model,
        "options": imported.options,
        "num_parameters": _num_parameters(imported),
        "classes": imported.classes,
        "preprocess": imported.preprocess,
        "match": match,
        "pairs": pairs,
    }


def _num_parameters(imported: "Checkpoint") -> int:
    return sum(parameter.numel() for parameter in imported.build().parameters())


def _table(imported: "Checkpoint", pairs: dict[str, str]) -> "Table":
    from rich.table import Table

    from cnncli.text import one_line

    table = Table(box=None, header_style="bold", padding=(0, 1), pad_edge=False)
    for heading in ("parameter", "tensor in the file", "shape"):
        table.add_column(heading)
    for name, theirs in pairs.items():
        table.add_row(name, one_line(theirs), "×".join(map(str, imported.weights[name].shape)))
    return table


def _summary(imported: "Checkpoint", output: Path) -> str:
    seen = imported.preprocess
    mean, std = (", ".join(f"{value:g}" for value in dict.fromkeys(seen[key])) for key in ("mean", "std"))
    lines = [
        f"checkpoint  {output}",
        f"network     {imported.model}, {_num_parameters(imported):,} parameters, {len(imported.classes):,} classes",
        f"images      {seen['channels']}×{seen['size']}×{seen['size']}, mean {mean}, std {std}",
        f"try it      cnn eval {output} --data FOLDER",
    ]
    return "\n".join(lines)
