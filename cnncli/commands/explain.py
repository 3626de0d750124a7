"""``cnn explain``."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnncli.errors import CheckpointError, ConfigError, DataError, did_you_mean
from cnncli.options import CheckpointPath, Json
from cnncli.text import counted, one_line

if TYPE_CHECKING:
    from torch import Tensor

    from cnncli.analysis.explanation import Explanation
    from cnncli.checkpoint import Checkpoint

HEAVY = 25_000_000  # bytes from which on a page takes long to open


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(explain)


def explain(
    checkpoint: CheckpointPath,
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE…", help="Pictures; for several, the page has a chooser.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The page, one file that needs nothing else.")
    ] = Path("explain.html"),
    test: Annotated[
        list[int] | None,
        typer.Option("--test", metavar="ROW", min=0, help="An image of the test split, from 0 on; repeatable."),
    ] = None,
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
    from cnncli.analysis.explanation import explain as follow
    from cnncli.checkpoint import load
    from cnncli.pages.explain import write_page

    pictures, rows = images or [], test or []
    _check_target(output, [checkpoint, *pictures])
    limit = _limit(units)
    loaded = load(checkpoint)
    labels = _labels(label or [], len(pictures), loaded.classes)
    inputs, labels_of_rows = _inputs(loaded, pictures, rows)
    names = _names([*(picture.name for picture in pictures), *(f"test {row}" for row in rows)])
    try:
        explanation = follow(loaded.build(), inputs, names, [*labels, *labels_of_rows], limit, cam)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint}: {error}") from None
    write_page(output, explanation, loaded, checkpoint.name)
    paths = [*map(str, pictures), *names[len(pictures) :]]
    _say(_result(output, explanation, paths, loaded.classes), json)


def _check_target(output: Path, sources: Sequence[Path]) -> None:
    from cnncli import files

    for source in sources:
        files.check_target(output, source)
    if output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--output {output}: the page is HTML: say a file whose name ends in .html")


def _limit(units: str | None) -> int | None:
    """Return how many units are shown, ``None`` where the size of the network tells."""
    if units is None:
        return None
    if units == "all":
        return sys.maxsize
    if not units.isdecimal() or int(units) < 1:
        raise ConfigError(f"--units {one_line(units)}: say a number from 1 on, or all")
    return int(units)


def _labels(labels: list[str], num_pictures: int, classes: list[str]) -> list[int | None]:
    """Return the number of each picture's class."""
    if labels and not num_pictures:
        raise ConfigError("--label is for pictures that are named: images of --test have their own")
    if len(labels) not in (0, 1, num_pictures):
        given = f"{counted(len(labels), 'time')} for {counted(num_pictures, 'picture')}"
        raise ConfigError(f"--label is there {given}: say it once, or for each picture")
    for label in labels:
        if label not in classes:
            raise ConfigError(f"--label {one_line(label)}: no class of this checkpoint{did_you_mean(label, classes)}")
    numbers: list[int | None] = [classes.index(label) for label in labels]
    return numbers * num_pictures if len(numbers) == 1 else numbers or [None] * num_pictures


def _inputs(checkpoint: "Checkpoint", pictures: list[Path], rows: list[int]) -> "tuple[Tensor, list[int]]":
    """Return what the network sees of pictures and of rows of the test split, [B, C, H, W], and the rows' labels."""
    import torch

    from cnncli.display import Display
    from cnncli.pipeline.preprocess import Preprocess
    from cnncli.scoring import experiment_of, pick_test_images

    if not pictures and not rows:
        raise ConfigError("no image to explain: name a picture, or say --test 0 for the first image of the test split")
    preprocess = Preprocess.from_dict(checkpoint.preprocess)
    inputs = [preprocess(picture) for picture in pictures]
    labels: list[int] = []
    if rows:
        if not checkpoint.config:
            raise DataError("the checkpoint says of no images that it was tested on: name a picture in place of --test")
        experiment = experiment_of(checkpoint, device="cpu", note=Display().note)
        images, labels = pick_test_images(experiment, checkpoint, rows)
        inputs.append(images)
    return torch.cat(inputs), labels


def _names(names: list[str]) -> list[str]:
    """Return names that tell images apart: the second of a name is called name (2)."""
    seen: Counter[str] = Counter()
    different = []
    for name in names:
        seen[name] += 1
        different.append(f"{name} ({seen[name]})" if seen[name] > 1 else name)
    return different


def _result(output: Path, explanation: "Explanation", paths: list[str], classes: list[str]) -> dict[str, Any]:
    from cnncli.analysis.explanation import results

    images = []
    for view, path in zip(explanation.views, paths, strict=True):
        shares = results(explanation, view)[-1]
        best = int(shares.argmax())
        images.append({"image": path, "prediction": classes[best], "probability": shares[best].item()})
        if view.label is not None:
            images[-1]["label"] = classes[view.label]
    return {
        "page": str(output),
        "bytes": output.stat().st_size,
        "images": images,
        "left_out": explanation.left_out,
    }


def _say(result: dict[str, Any], json: bool) -> None:
    from cnncli.display import Display, print_json, print_text

    size = f"{result['page']}: {result['bytes'] / 1e6:.1f} MB"
    if result["bytes"] > HEAVY:
        Display().note(f"{size}, which takes a browser long to open; --units shows fewer of each layer")
    if json:
        print_json(result)
        return
    lines = []
    for image in result["images"]:
        label = f"; it is {image['label']}" if "label" in image else ""
        lines.append(one_line(f"{image['image']}: {image['prediction']}, {image['probability']:.2%}{label}"))
    if left_out := result["left_out"]:
        number = sum(left_out.values())
        lines.append(f"left out: {counted(number, 'unit')} of {counted(len(left_out), 'layer')}; --units shows more")
    print_text("\n".join([*lines, size]))
