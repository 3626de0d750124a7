"""``cnn train``."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnncli.completion import offer_configs, offer_devices, offer_runs
from cnncli.errors import ConfigError
from cnncli.options import Json, Sets

if TYPE_CHECKING:
    from cnncli.config.schema import Config
    from cnncli.run import Run


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(train)


def train(
    config: Annotated[
        str | None,
        typer.Option(
            "-c",
            "--config",
            help="A YAML file, or the name of a bundled config (cnn config ls).",
            autocompletion=offer_configs,
        ),
    ] = None,
    sets: Sets = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate, at the schedule's peak.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all that is drawn.")] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, mps, cuda or cuda:N.", autocompletion=offer_devices)
    ] = None,
    output: Annotated[str | None, typer.Option(help="Folder for run directories.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run directory.")] = None,
    init_from: Annotated[
        str | None, typer.Option("--init-from", metavar="CHECKPOINT", help="Begin with what fits of its weights.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Go on with the run in this directory; auto: with --name, if it was begun.",
            autocompletion=offer_runs,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Train with N seeds, from train.seed on, in directories NAME-seed0 and so on."
        ),
    ] = None,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Let a resumed run differ from how it began; noted in it.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Take one batch of each split; write nothing.")] = False,
    json: Json = False,
) -> None:
    """Train a network from a config file: a flag wins over --set, and --set over the file.

    Example: cnn train --config lenet5.yaml --epochs 3 --set augment.shift=2
    """
    from cnncli import launch, series
    from cnncli.display import Display, print_json
    from cnncli.signals import ending

    flags: dict[str, Any] = dict(  # noqa: C408  # reads as the signature does
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        device=device,
        output=output,
        name=name,
        init_from=init_from,
    )
    if allow_changes and resume is None:
        raise ConfigError("--allow-changes is about a run that goes on: say which, with --resume RUN")
    if seeds is not None and (dry_run or resume not in (None, "auto")):
        raise ConfigError("--seeds goes with --resume auto, not with a RUN or --dry-run, which are about a single one")
    settings, run = _asked(config, sets or [], flags, None if seeds else resume)
    with ending(), Display() as display:
        if seeds is not None:
            result = series.train(settings, seeds, display, _again(), resume is not None, allow_changes)
            show = _show_series
        elif dry_run:
            result, show = launch.dry_run(settings, run, display), _show_dry_run
        else:
            result, show = launch.train(settings, run, display, allow_changes), _show_run
    if display.speaks:
        print_json(result) if json else show(result)


def _asked(
    config: str | None, sets: list[str], flags: dict[str, Any], resume: str | None
) -> "tuple[Config, Run | None]":
    """Return what to train, and the run that goes on, or begins in a directory of just that name."""
    from cnncli.config.validation import load_config
    from cnncli.resuming import picked_up
    from cnncli.run import Run

    if resume is not None and resume != "auto":
        if config is not None:
            raise ConfigError("--resume takes the config of the run; leave --config out, or say --resume auto")
        run = Run.open(Path(resume))
        return load_config(run.config, sets, flags), run
    if config is None:
        raise ConfigError("say what to train: --config NAME, where 'cnn config ls' lists names, or --resume RUN")
    settings = load_config(config, sets, flags)
    if resume is None:
        return settings, None
    run = Run(Path(settings.train.output) / (settings.train.name or "run"))
    return picked_up(settings, run), run


def _again() -> str:
    """Return the command that goes on with what this one has begun."""
    words = [word for word in sys.argv[1:] if word != "--debug"]
    return shlex.join(["cnn", *words, *([] if "--resume" in words else ["--resume", "auto"])])


def _show_run(result: dict[str, Any]) -> None:
    from cnncli.display import print_text
    from cnncli.text import counted

    lines = []
    if best := result["best"]:
        lines.append(f"best    epoch {best['epoch']}: validation accuracy {best['val']['accuracy']:.2%}")
    if test := result["test"]:
        images = f"{test['num_images']:,} images, {test['checkpoint']}"
        lines.append(f"test    accuracy {test['accuracy']:.2%}, loss {test['loss']:.4f} ({images})")
    lines.append(f"run     {result['run_dir']} ({counted(result['epochs'], 'epoch')}, {result['seconds']:.1f} s)")
    lines.append(f"curves  {result['run_dir']}/curves.png")
    print_text("\n".join(lines))


def _show_series(result: dict[str, Any]) -> None:
    from rich.table import Table

    from cnncli.display import print_table, print_text
    from cnncli.text import one_line

    table = Table(box=None, header_style="bold", padding=(0, 1), pad_edge=False)
    for name in ("seed", "best epoch", "val", "test", "loss", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("run", overflow="fold")
    for run in result["runs"]:
        best, test, seconds = run["best"], run["test"], run["seconds"]
        table.add_row(
            f"{run['seed']}",
            *([f"{best['epoch']}", f"{best['val']['accuracy']:.2%}"] if best else "––"),
            *([f"{test['accuracy']:.2%}", f"{test['loss']:.4f}"] if test else "––"),
            f"{seconds:.1f}" if seconds is not None else "–",
            one_line(run["run_dir"]),
        )
    print_table(table)
    print_text("\n".join(_together(result)))


def _together(result: dict[str, Any]) -> list[str]:
    lines = []
    for split in ("val", "test"):
        if spread := result[f"{split}_accuracy"]:
            std = f" ± {100 * spread['std']:.2f}" if spread["std"] is not None else ""
            bounds = f"{spread['low']:.2%} to {spread['high']:.2%}"
            lines.append(f"{split:4}  accuracy {spread['mean']:.2%}{std} (n = {spread['n']}, {bounds})")
    if diverged := [str(run["seed"]) for run in result["runs"] if run["problem"]]:
        lines.append(f"diverged, and left out of the means: seed {', '.join(diverged)}")
    if result["median_seconds"] is not None:
        lines.append(f"time  {result['median_seconds']:.1f} s, the median")
    return lines


def _show_dry_run(result: dict[str, Any]) -> None:
    from cnncli.display import print_text

    lines = ["dry run: nothing was written"]
    for split in ("train", "val", "test"):
        if seen := result[split]:
            shape = "×".join(map(str, seen["batch"]))
            lines.append(f"{split:5}  {seen['num_images']:,} images, a batch is {shape}, its loss {seen['loss']:.4f}")
        else:
            lines.append(f"{split:5}  none")
    print_text("\n".join(lines))
