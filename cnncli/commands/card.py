"""``cnn card``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnncli.completion import offer_devices
from cnncli.options import CheckpointPath

if TYPE_CHECKING:
    from cnncli.checkpoint import Checkpoint
    from cnncli.training.meters import Metrics


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(card)


def card(
    checkpoint: CheckpointPath,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write it; else on stdout.")
    ] = None,
    score: Annotated[bool, typer.Option("--score", help="Score the test images for it, as cnn eval does.")] = False,
    device: Annotated[
        str | None,
        typer.Option(help="With --score: auto, cpu, mps, cuda or cuda:N.", autocompletion=offer_devices),
    ] = None,
) -> None:
    """Write a model card in Markdown: network, preprocessing, training, results, use and limits.

    Example: cnn card runs/lenet5/checkpoints/best.pt --score -o card.md
    """
    from cnncli import files
    from cnncli.checkpoint import load
    from cnncli.display import print_text
    from cnncli.pages.card import model_card

    if output is not None:
        files.check_target(output, checkpoint)
    loaded = load(checkpoint)
    text = model_card(loaded, checkpoint.name, _scores(loaded, device) if score else None)
    if output is None:
        print_text(text.rstrip("\n"))
        return
    with files.whole(output) as file:
        file.write(text.encode())


def _scores(checkpoint: "Checkpoint", device: str | None) -> "Metrics":
    from cnncli.display import Display
    from cnncli.errors import DataError
    from cnncli.scoring import experiment_of, score
    from cnncli.training.loop import Watch

    if not checkpoint.config:
        raise DataError("the checkpoint says of no images to score it on; leave --score out")
    with Display() as display:
        experiment = experiment_of(checkpoint, device=device, note=display.note)
        with experiment.listing_broken("test"):
            loader = experiment.eval_loader("test")
            if loader is None:
                raise DataError("there is no test split: the run was trained without one; leave --score out")
            return score(experiment, checkpoint, loader, Watch(progress=display.follow))
