"""``cnn explain``."""

import sys
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnncli.errors import ConfigError, DataError, did_you_mean
from cnncli.options import CheckpointPath, Json
from cnncli.text import counted, one_line

if TYPE_CHECKING:
    from cnncli.analysis.explanation import Explanation


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(explain)


def explain(
    checkpoint: CheckpointPath,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE…", help="Pictures; for several, the page has a chooser.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The page, one file that needs nothing else.")
    ] = Path("explain.html"),
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="CLASS", help="The true class; repeatable, one for each picture or for all."),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(metavar="N|all", help="Maps and neurons shown of each layer; all of a small network, else 12."),
    ] = None,
    cam: Annotated[bool, typer.Option("--cam", help="Show where the answer comes from, by Grad-CAM.")] = False,
    json: Json = False,
) -> None:
    """Write a page that shows every number of a picture's way through a network.

    Example: cnn explain runs/tinyvgg/checkpoints/best.pt espresso.jpeg --label espresso -o espresso.html
    """
    import torch

    from cnncli import files
    from cnncli.analysis.explanation import explain as follow
    from cnncli.checkpoint import load
    from cnncli.pages.explain import write_page
    from cnncli.pipeline.preprocess import Preprocess

    files.check_target(output, checkpoint)
    limit = _limit(units)
    loaded = load(checkpoint)
    labels = _labels(label or [], len(images), loaded.classes)
    model, preprocess = loaded.build(), Preprocess.from_dict(loaded.preprocess)
    inputs = torch.cat([preprocess(image) for image in images])
    try:
        explanation = follow(model, inputs, [str(image) for image in images], labels, limit, cam)
    except ValueError as error:
        raise DataError(f"{checkpoint}: {error}") from None
    write_page(output, explanation, loaded, checkpoint.name)
    _say(output, explanation, loaded.classes, json)


def _limit(units: str | None) -> int | None:
    """Return how many units are shown, ``None`` where the size of the network tells."""
    if units is None:
        return None
    if units == "all":
        return sys.maxsize
    if not units.isdecimal() or int(units) < 1:
        raise ConfigError(f"--units {one_line(units)}: a number from 1 on, or all")
    return int(units)


def _labels(labels: list[str], num_images: int, classes: list[str]) -> list[int | None]:
    """Return the number of each picture's class."""
    if len(labels) not in (0, 1, num_images):
        raise ConfigError(f"--label is there {counted(len(labels), 'time')} for {counted(num_images, 'picture')}")
    for label in labels:
        if label not in classes:
            raise ConfigError(f"--label {one_line(label)}: no class of this checkpoint{did_you_mean(label, classes)}")
    numbers: list[int | None] = [classes.index(label) for label in labels]
    return numbers * num_images if len(labels) == 1 else numbers or [None] * num_images


def _say(output: Path, explanation: "Explanation", classes: list[str], json: bool) -> None:
    from cnncli.display import print_json, print_text

    answers = []
    for view in explanation.views:
        shares = view.outputs[len(explanation.parts) - 2].softmax(0)
        best = int(shares.argmax())
        answers.append({"path": view.name, "label": classes[best], "probability": shares[best].item()})
    if json:
        left_out = explanation.left_out
        print_json({"page": str(output), "bytes": output.stat().st_size, "images": answers, "left_out": left_out})
        return
    lines = [one_line(f"{path}: {label}, {share:.2%}") for path, label, share in map(dict.values, answers)]
    if explanation.left_out:
        first, number = max(explanation.left_out.items(), key=itemgetter(1))
        lines.append(f"left out: {counted(number, 'unit')} of {first}, and others; --units shows more or fewer")
    print_text("\n".join([*lines, f"{output}: {output.stat().st_size / 1e6:.1f} MB"]))
