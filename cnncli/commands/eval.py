"""``cnn eval``."""

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cnncli.errors import ConfigError, DataError
from cnncli.options import CheckpointPath, Device, Json

if TYPE_CHECKING:
    from cnncli.training.meters import Metrics


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("eval")(evaluate)


def evaluate(
    checkpoint: CheckpointPath,
    split: Annotated[Literal["test", "val", "train"], typer.Option(help="The images to score.")] = "test",
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Other images: an .npz file, or a folder of one folder a class.")
    ] = None,
    ten_crop: Annotated[
        bool, typer.Option("--ten-crop", help="Average over ten views: corners, middle, mirror images.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a page and its numbers: report.html, report.json.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write a row an image: label, prediction, probabilities.")
    ] = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Score a checkpoint on the images that its training kept for testing, on another split, or on other images.

    Example: cnn eval runs/lenet5/checkpoints/best.pt --report report
    """
    from cnncli.analysis.report import report_on
    from cnncli.checkpoint import load
    from cnncli.display import Display, print_json, print_text
    from cnncli.pages.predictions import write_predictions
    from cnncli.pages.report import write_report
    from cnncli.scoring import experiment_of, predict, score
    from cnncli.training.loop import Watch

    _check_targets(report, predictions)
    loaded, display, predicted = load(checkpoint), Display(), None
    experiment = experiment_of(loaded, data, device, display.note)
    with experiment.listing_broken(split):
        loader = experiment.eval_loader(split)
        if loader is None:
            where, has = data or "the run was trained without one", " and ".join(experiment.splits.names)
            raise DataError(f"there is no {split} split: {where}; there is {has}")
        watch = Watch(progress=display.follow)
        if report or predictions:
            metrics, predicted = predict(experiment, loaded, loader, watch, ten_crop)
        else:
            metrics = score(experiment, loaded, loader, watch, ten_crop)
    if not experiment.runtime.is_main:
        return
    result = _result(checkpoint, split, metrics)
    if report and predicted:
        found = report_on(predicted, loaded.classes, loader.files)
        scored = {**result, "data": str(data or experiment.config.data.name)}
        scored |= {"ten_crop": ten_crop, "model": loaded.model, "preprocess": experiment.preprocess.to_dict()}
        write_report(report, scored, found, loader.pixels(found.rows_of_mistakes()))
        result["report"] = str(report / "report.html")
    if predictions and predicted:
        write_predictions(predictions, predicted, loaded.classes, loader.files)
        result["predictions"] = str(predictions)
    print_json(result) if json else print_text(_summary(result))


def _check_targets(report: Path | None, predictions: Path | None) -> None:
    """Raise ``ConfigError`` for what could not be written, before anything is scored."""
    if report is not None:
        there = next(path for path in (report, *report.parents) if path.exists())
        if not there.is_dir():
            raise ConfigError(f"--report {report}: a report is a folder, but {there} is a file")
    if predictions is not None:
        if predictions.suffix.lower() != ".csv" or predictions.is_dir():
            raise ConfigError(f"--predictions {predictions}: say a file whose name ends in .csv")
        if not predictions.parent.is_dir():
            raise ConfigError(f"--predictions {predictions}: there is no folder {predictions.parent}")


def _result(checkpoint: Path, split: str, metrics: "Metrics") -> dict[str, Any]:
    return {
        "checkpoint": str(checkpoint),
        "split": split,
        "num_images": metrics.num_images,
        "num_skipped": metrics.num_skipped,
        "loss": metrics.loss if isfinite(metrics.loss) else None,
        "accuracy": metrics.accuracy,
        "top5_accuracy": metrics.top5_accuracy,
    }


def _summary(result: dict[str, Any]) -> str:
    top5 = f", top-5 {result['top5_accuracy']:.2%}" if result["top5_accuracy"] is not None else ""
    loss = f"{result['loss']:.4f}" if result["loss"] is not None else "not finite"
    scores = f"accuracy {result['accuracy']:.2%}{top5}, loss {loss}"
    images = f"{result['num_images']:,} images"
    images += f", {result['num_skipped']:,} broken left out" if result["num_skipped"] else ""
    lines = [f"{result['split']}  {scores} ({images}, {result['checkpoint']})"]
    lines += [f"{what}  {result[what]}" for what in ("report", "predictions") if what in result]
    return "\n".join(lines)
