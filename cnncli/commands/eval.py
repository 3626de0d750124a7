"""``cnn eval``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("eval")(evaluate)


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Such as runs/lenet5/checkpoints/best.pt.")],
    split: Annotated[Literal["test", "val", "train"], typer.Option(help="The images to score.")] = "test",
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Other images: an .npz file, or a folder of one folder a class.")
    ] = None,
    ten_crop: Annotated[
        bool, typer.Option("--ten-crop", help="Average over ten views: corners, middle, mirror images.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu, mps, cuda or cuda:N; else as in training.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Score a checkpoint on the images that its training kept for testing, on another split, or on other images.

    Example: cnn eval runs/lenet5/checkpoints/best.pt --split val
    """
    from cnncli.checkpoint import load
    from cnncli.display import Display, print_json, print_text
    from cnncli.errors import DataError
    from cnncli.scoring import experiment_of, score
    from cnncli.training.loop import Watch

    loaded, display = load(checkpoint), Display()
    experiment = experiment_of(loaded, data, device, display.note)
    with experiment.listing_broken(split):
        loader = experiment.eval_loader(split)
        if loader is None:
            where, has = data or "the run was trained without one", " and ".join(experiment.splits.names)
            raise DataError(f"there is no {split} split: {where}; there is {has}")
        metrics = score(experiment, loaded, loader, Watch(progress=display.follow), ten_crop)
    if not experiment.runtime.is_main:
        return
    result: dict[str, Any] = {
        "checkpoint": str(checkpoint),
        "split": split,
        "num_images": metrics.num_images,
        "loss": metrics.loss,
        "accuracy": metrics.accuracy,
        "top5_accuracy": metrics.top5_accuracy,
    }
    print_json(result) if json else print_text(_summary(result))


def _summary(result: dict[str, Any]) -> str:
    top5 = f", top-5 {result['top5_accuracy']:.2%}" if result["top5_accuracy"] is not None else ""
    scores = f"accuracy {result['accuracy']:.2%}{top5}, loss {result['loss']:.4f}"
    return f"{result['split']}  {scores} ({result['num_images']:,} images, {result['checkpoint']})"
