"""``cnn data``: what is in a data set, before it is trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnncli.errors import DataError
from cnncli.options import ConfigArgument, Json, Sets

if TYPE_CHECKING:
    from rich.table import Table

    from cnncli.analysis.data import Report
    from cnncli.experiment import Experiment

MOST_LISTED = 50  # of one kind of finding; --json has no limit

app = typer.Typer(no_args_is_help=True)


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="data", help="Check the images that a config trains on.")


@app.command()
def check(
    config: ConfigArgument,
    sets: Sets = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The contact sheet, a PNG.")] = Path(
        "contact_sheet.png"
    ),
    json: Json = False,
) -> None:
    """Look at every image: counts, broken files, duplicates, sizes, mean and std; draw some as the network sees them.

    Exit code 3 if a class or a split has no images, a file is broken, or one image is in two splits or two classes.

    Example: cnn data check tinyvgg_folder --set data.root=pictures
    """
    from dataclasses import asdict

    from cnncli.analysis.data import examine
    from cnncli.display import print_json, print_table, print_text

    experiment = _experiment(config, sets, on_error="skip")
    _draw(experiment, output)
    splits = {name: images for name in experiment.splits.names if (images := experiment.splits.load(name)) is not None}
    report = examine(splits, experiment.splits.classes, experiment.preprocess, experiment.workers)
    left_out: dict[str, int] = getattr(experiment.splits.source, "left_out", {})
    if json:
        print_json({**asdict(report), "left_out": left_out, "contact_sheet": str(output)})
    else:
        print_table(_table(report))
        print_text(_findings(report, left_out, output))
    if report.is_wanting:
        raise DataError(f"{config}: the images have problems" + (", listed above" if not json else ""))


@app.command()
def stats(config: ConfigArgument, sets: Sets = None, json: Json = False) -> None:
    """Compute mean and standard deviation of the training images, as lines for the config.

    Example: cnn data stats mine.yaml
    """
    from cnncli.analysis.data import moments_of
    from cnncli.display import print_json, print_text

    experiment = _experiment(config, sets)
    images = experiment.splits.load("train")
    assert images is not None
    with experiment.listing_broken("train"):
        moments = moments_of(images, experiment.preprocess, experiment.workers, experiment.config.data.on_error)
    mean, std = moments.mean_and_std()
    if json:
        print_json({"mean": mean, "std": std, "num_images": moments.count})
    else:
        print_text(f"data:  # of the {moments.count:,} training images\n  mean: {mean}\n  std: {std}")


def _experiment(config: str, sets: list[str] | None, **data: Any) -> "Experiment":
    from cnncli.config.validation import load_config
    from cnncli.experiment import Experiment

    loaded = load_config(config, sets or ())
    for key, value in {"cache": "off", **data}.items():  # nothing is written but the sheet
        setattr(loaded.data, key, value)
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

    from cnncli.text import one_line

    table = Table(box=None, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("class")
    for split in report.counts:
        table.add_column(split, justify="right")
    names = next(iter(report.counts.values()), {})
    for name in names:
        table.add_row(one_line(name), *(f"{counts[name]:,}" for counts in report.counts.values()))
    table.add_row("all", *(f"{sum(counts.values()):,}" for counts in report.counts.values()), style="bold")
    return table


def _findings(report: "Report", left_out: dict[str, int], output: Path) -> str:
    from cnncli.text import one_line

    lines = [""]
    for side, (smallest, median, largest) in report.sizes.items():
        lines.append(f"{side:9} {smallest} to {largest}, median {median}")
    lines += [f"mean      {report.mean}", f"std       {report.std}", f"sheet     {output}"]
    if left_out:
        kinds = ", ".join(f"{count:,} {one_line(extension)}" for extension, count in left_out.items())
        lines.append(f"left out  {kinds}: not among the extensions of pictures")
    findings: list[tuple[str, list[Any]]] = [
        ("missing", report.missing),
        ("broken: cannot be read", report.broken),
        ("leaked: the same image in two splits", report.leaked),
        ("conflicting: the same image in two classes", report.conflicting),
        ("duplicates: the same image twice in a class", report.duplicates),
        ("misnamed: the extension belongs to another format", report.misnamed),
    ]
    for what, found in findings:
        if found:
            lines.append(f"{what} ({len(found):,})")
            texts = [item if isinstance(item, str) else " = ".join(item) for item in found[:MOST_LISTED]]
            lines += [f"  {one_line(text)}" for text in texts]
            lines += [f"  … and {len(found) - MOST_LISTED:,} more, which --json lists"] * (len(found) > MOST_LISTED)
    return "\n".join(lines if any(found for _, found in findings) else [*lines, "nothing is wrong"])
