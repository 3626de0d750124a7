"""``cnn data``: what is in a data set, before it is trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnncli.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from cnncli.analysis.data import Report
    from cnncli.experiment import Experiment

app = typer.Typer(no_args_is_help=True)
ConfigArgument = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or a bundled config.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change any field; repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="data", help="Check the images that a config trains on.")


@app.command()
def check(
    config: ConfigArgument,
    sets: Sets = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The sheet of what the network sees, a PNG.")] = Path(
        "contact_sheet.png"
    ),
    json: Json = False,
) -> None:
    """Look at every image: counts, broken files, duplicates, sizes, mean and deviation; exit code 3 if any is wrong.

    Example: cnn data check tinyvgg_folder --set data.root=pictures
    """
    from dataclasses import asdict

    from cnncli.analysis.data import examine
    from cnncli.display import print_json, print_table, print_text

    experiment = _experiment(config, sets)
    splits = {name: images for name in experiment.splits.names if (images := experiment.splits.load(name))}
    workers = experiment.config.data.workers
    assert workers != "auto"
    report = examine(splits, experiment.splits.classes, experiment.preprocess, workers)
    _draw(experiment, output)
    if json:
        print_json({**asdict(report), "contact_sheet": str(output)})
    else:
        print_table(_table(report))
        print_text(_findings(report, output))
    if report.is_wanting:
        raise DataError(f"{config}: found wanting; see above" if not json else f"{config}: found wanting")


@app.command()
def stats(config: ConfigArgument, sets: Sets = None, json: Json = False) -> None:
    """Compute mean and standard deviation of the training images, to be put into the config.

    Example: cnn data stats mine.yaml
    """
    from cnncli.analysis.data import mean_and_std
    from cnncli.display import print_json, print_text

    experiment = _experiment(config, sets)
    images, workers = experiment.splits.load("train"), experiment.config.data.workers
    assert images is not None
    assert workers != "auto"
    mean, std = mean_and_std(images, experiment.preprocess, workers)
    if json:
        print_json({"mean": mean, "std": std, "num_images": len(images)})
    else:
        print_text(f"data:  # of the {len(images):,} training images\n  mean: {mean}\n  std: {std}")


def _experiment(config: str, sets: list[str] | None) -> "Experiment":
    from cnncli.config.validation import load_config
    from cnncli.experiment import Experiment

    loaded = load_config(config, sets or ())
    loaded.data.cache, loaded.data.on_error = "off", "skip"  # to look at them, broken ones too, and write nothing
    return Experiment.prepare(loaded)


def _draw(experiment: "Experiment", output: Path) -> None:
    from cnncli.pages.contact_sheet import draw_contact_sheet

    experiment.config.train.batch_size = 48
    batch = next(experiment.train_loader().epoch(0))
    captions = []
    for targets, label in zip(batch.targets, batch.labels.tolist(), strict=True):
        shares = {label: 1.0} if targets.ndim == 0 else {i: share for i, share in enumerate(targets.tolist()) if share}
        named = [
            (experiment.splits.classes[i], share) for i, share in sorted(shares.items(), key=lambda item: -item[1])
        ]
        captions.append(" + ".join(name if share == 1 else f"{share:.0%} {name}" for name, share in named))
    title = f"{experiment.config.data.name}: training images as {experiment.config.model.name} sees them"
    draw_contact_sheet(experiment.preprocess.shown(batch.images.cpu()), captions, title, output)


def _table(report: "Report") -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("class")
    for split in report.counts:
        table.add_column(split, justify="right")
    names = next(iter(report.counts.values()), {})
    for name in names:
        table.add_row(name, *(f"{counts[name]:,}" for counts in report.counts.values()))
    table.add_row("all", *(f"{sum(counts.values()):,}" for counts in report.counts.values()), style="bold")
    return table


def _findings(report: "Report", output: Path) -> str:
    lines = [""]
    if report.sizes:
        smallest, median, largest = zip(report.sizes["height"], report.sizes["width"], strict=True)
        sizes = " · ".join(
            f"{what} {h}×{w}"
            for what, (h, w) in zip(("smallest", "median", "largest"), (smallest, median, largest), strict=True)
        )
        lines.append(f"height×width  {sizes}")
    lines += [f"mean          {report.mean}", f"std           {report.std}", f"sheet         {output}"]
    findings: list[tuple[str, list[Any]]] = [
        ("broken: cannot be read", report.broken),
        ("leaked: the same picture in two splits", report.leaked),
        ("contradictory: the same picture in two classes", report.contradictory),
        ("doubled: the same picture twice in a class", report.doubled),
        ("misnamed: the extension is of another format", report.misnamed),
    ]
    for what, found in findings:
        if found:
            lines.append(f"{what} ({len(found):,})")
            lines += [f"  {item if isinstance(item, str) else ' = '.join(item)}" for item in found]
    return "\n".join(lines if any(found for _, found in findings) else [*lines, "nothing is wrong"])
