"""``cnn train``."""

import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from cnncli.errors import ConfigError, Terminated


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(train)


def train(
    config: Annotated[
        str | None, typer.Option("-c", "--config", help="A YAML file, or the name of a bundled config (cnn config ls).")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change any field; repeatable.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate, at the schedule's peak.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all that is drawn.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, mps, cuda or cuda:N.")] = None,
    output: Annotated[str | None, typer.Option(help="Folder for run directories.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run directory.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Continue the run in this directory.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Take one batch of each split; write nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Train a network from a config file: a flag wins over --set, and --set over the file.

    Example: cnn train --config lenet5.yaml --epochs 3 --set augment.shift=2
    """
    from cnncli import session
    from cnncli.checkpoint import load
    from cnncli.config.validation import load_config
    from cnncli.display import Display, print_json, print_text
    from cnncli.experiment import Experiment
    from cnncli.run import Run

    run = Run.open(resume) if resume else None
    if run is None and config is None:
        raise ConfigError("say what to train: --config NAME, where 'cnn config ls' lists names, or --resume RUN")
    if run is not None and config is not None:
        raise ConfigError("--resume takes the config of the run; leave --config out")
    flags: dict[str, Any] = dict(  # noqa: C408  # reads as the signature does
        epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, device=device, output=output, name=name
    )
    display, settings = Display(), load_config(run.config if run else str(config), sets or (), flags)
    if dry_run:
        settings.data.cache = "off"  # which would be written
    checkpoint = load(run.last) if run else None
    experiment = Experiment.prepare(settings, display.note, checkpoint.held_out if checkpoint else None)
    if dry_run:
        with experiment.listing_broken(*experiment.splits.names):
            result = session.dry_run(experiment, display)
        if experiment.runtime.is_main:
            print_json(result) if json else print_text(_dry_summary(result))
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is a run to leave whole
    signal.signal(signal.SIGTERM, _terminate)
    if checkpoint is not None:
        session.check_resume(experiment.config, checkpoint)
    if run is None:
        settled = experiment.config.train
        run = experiment.runtime.from_main(lambda: Run.create(Path(settled.output), settled.name or "run"))
    locked = run.locked() if experiment.runtime.is_main else nullcontext()
    with locked, experiment.listing_broken(*experiment.splits.names):
        result = session.Session(experiment, run, display).train(checkpoint)
    if experiment.runtime.is_main:
        print_json(result) if json else print_text(_summary(result, run))


def _terminate(signal_number: int, frame: object) -> NoReturn:
    raise Terminated("terminated")


def _summary(result: dict[str, Any], run: Any) -> str:
    lines = []
    if best := result["best"]:
        lines.append(f"best    epoch {best['epoch']}: validation accuracy {best['val']['accuracy']:.2%}")
    if test := result["test"]:
        images = f"{test['num_images']:,} images, {test['checkpoint']}"
        lines.append(f"test    accuracy {test['accuracy']:.2%}, loss {test['loss']:.4f} ({images})")
    lines.append(f"run     {result['run_dir']} ({result['epochs']} epochs, {result['seconds']:.1f} s)")
    lines.append(f"curves  {run.curves}")
    return "\n".join(lines)


def _dry_summary(result: dict[str, Any]) -> str:
    lines = ["dry run: nothing was written"]
    for split in ("train", "val", "test"):
        if seen := result[split]:
            shape = "×".join(map(str, seen["batch"]))
            lines.append(f"{split:5}  {seen['num_images']:,} images, a batch is {shape}, its loss {seen['loss']:.4f}")
        else:
            lines.append(f"{split:5}  none")
    return "\n".join(lines)
