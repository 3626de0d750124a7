"""``cnn lr-find``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnncli.errors import ConfigError
from cnncli.options import ConfigArgument, Json, Sets

if TYPE_CHECKING:
    from cnncli.config.schema import Optimizer
    from cnncli.lr_finding import LossCurve


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("lr-find")(lr_find)


def lr_find(
    config: ConfigArgument,
    sets: Sets = None,
    low: Annotated[float, typer.Option("--from", min=1e-12, max=1000, help="The first learning rate.")] = 1e-6,
    high: Annotated[float, typer.Option("--to", min=1e-12, max=1000, help="The last one.")] = 10.0,
    steps: Annotated[
        int,
        typer.Option(min=20, max=10_000, help="Updates in all; fewer suggest more."),
    ] = 300,
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture, a PNG.")] = Path("lr.png"),
    json: Json = False,
) -> None:
    """Suggest a learning rate: train for some steps while it rises, and see where the loss falls most steeply.

    It is at most a third of the rate of the lowest loss, beyond which training leaps away; none is suggested where the
    loss hardly falls. The loss is drawn over the learning rate; the weights are thrown away.

    Example: cnn lr-find lenet5 --set optimizer.name=adam
    """
    from cnncli.config.validation import load_config
    from cnncli.display import Display, print_json, print_text
    from cnncli.experiment import Experiment
    from cnncli.lr_finding import find_lr
    from cnncli.pages.lr_range import draw_lr_range
    from cnncli.pages.picture import check_picture

    if low >= high:
        raise ConfigError(f"--from {low:g} --to {high:g} is no range: the smaller one comes first")
    check_picture(output)
    settings = load_config(config, sets or [])
    settings.data.cache = "off"  # which would be written, of all pictures
    with Display() as display:
        experiment = Experiment.prepare(settings, display.note)
        with experiment.listing_broken("train"):
            experiment.check_classes()
            display.note(f"{experiment.config.model.name}: {steps} steps, from {low:g} to {high:g}")
            curve = find_lr(experiment, low, high, steps, display.follow)
    if experiment.runtime.is_main:
        draw_lr_range(curve, f"{settings.train.name}, {experiment.config.optimizer.name}", output)
        result = _result(curve, experiment.config.optimizer, output)
        print_json(result) if json else print_text(_summary(result))


def _result(curve: "LossCurve", optimizer: "Optimizer", output: Path) -> dict[str, Any]:
    """Return what ``--json`` prints; the rates of head and backbone, where they differ, keep their ratio."""
    suggestion, backbone_lr = curve.suggestion, optimizer.backbone_lr
    ratio = backbone_lr / optimizer.options["lr"] if backbone_lr is not None else None
    columns = {"lr": curve.lrs, "loss": curve.losses, "smoothed": curve.smoothed}
    return {
        "suggestion": suggestion,
        "suggested_backbone_lr": suggestion * ratio if suggestion is not None and ratio is not None else None,
        "lowest": {name: values[curve.lowest] for name, values in columns.items()},
        "curve": columns,
        "picture": str(output),
    }


def _summary(result: dict[str, Any]) -> str:
    lowest, tried = result["lowest"], result["curve"]["lr"]
    lines = [
        f"tried    {len(tried):,} steps, from {tried[0]:.2g} to {tried[-1]:.2g}",
        f"lowest   loss {lowest['smoothed']:.4f}, smoothed, at {lowest['lr']:.2g}",
        f"picture  {result['picture']}",
    ]
    if (suggestion := result["suggestion"]) is not None:
        backbone_lr = result["suggested_backbone_lr"]
        both = f" --set optimizer.backbone_lr={backbone_lr:.2g}" if backbone_lr is not None else ""
        lines.append(
            f"suggestion, where the loss falls most steeply and a leap is not near: --lr {suggestion:.2g}{both}"
        )
    else:
        lines.append("no suggestion: the loss hardly fell; look at the picture, and try more --steps or another range")
    return "\n".join(lines)
