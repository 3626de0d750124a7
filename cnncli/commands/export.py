"""``cnn export``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cnncli.options import CheckpointPath, Json


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(export)


def export(
    checkpoint: CheckpointPath,
    to: Annotated[
        Literal["onnx", "torch-export", "safetensors"] | None,
        typer.Option(metavar="FORMAT", help="onnx, torch-export or safetensors; else as FILE is named."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Ends in .onnx, .pt2 or .safetensors; else as CHECKPOINT."),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Picture or folder to compare on; repeatable; else the run's own images."),
    ] = None,
    json: Json = False,
) -> None:
    """Write a network for use without cnncli: pixels in, probabilities out; kept only if it agrees on real images.

    Example: cnn export runs/lenet5/checkpoints/best.pt -o lenet5.onnx
    """
    from dataclasses import asdict

    from cnncli import exporting
    from cnncli.checkpoint import load
    from cnncli.display import Display, print_json, print_text
    from cnncli.exporting.images import images_of_run, pixels_of
    from cnncli.pipeline.preprocess import Preprocess

    loaded = load(checkpoint)
    name, path = exporting.target_of(checkpoint, to, output)
    if images:
        source, pixels = "--images", pixels_of(images, Preprocess.from_dict(loaded.preprocess))
    else:
        source, pixels = images_of_run(loaded)
    with Display() as display:
        display.note(f"writing {path}, then comparing it with the network")
        agreement = exporting.export(loaded, name, path, pixels, display.follow)
    result: dict[str, Any] = {
        "checkpoint": str(checkpoint),
        "file": str(path),
        "format": name,
        "num_bytes": path.stat().st_size,
        "image_shape": list(pixels.shape[1:]),
        "num_classes": len(loaded.classes),
        "compared": {"images": source, **asdict(agreement)},
    }
    print_json(result) if json else print_text(_summary(result))


def _summary(result: dict[str, Any]) -> str:
    from cnncli.text import counted

    compared, shape = result["compared"], ", ".join(map(str, result["image_shape"]))
    what = f"image uint8 [N, {shape}] to probabilities float32 [N, {result['num_classes']}]"
    if result["format"] == "safetensors":
        what = "weights by name, for pixels that are normalised already"
    different = compared["num_different_labels"]
    labels = f"{different:,} labels differ" if different else "same labels"
    return (
        f"{result['format']}  {what} ({result['num_bytes'] / 1e6:,.2f} MB, {result['file']})\n"
        f"compared  {counted(compared['num_images'], 'image')} ({compared['images']}), probabilities within"
        f" {compared['largest_difference']:.1g}, {labels}"
    )
