"""One config trained with several seeds, each in a run directory of its own, and what they come to together."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cnncli import launch, ranks
from cnncli.analysis.significance import spread_of
from cnncli.config.loading import Document
from cnncli.config.schema import Config
from cnncli.config.validation import validate
from cnncli.errors import ConfigError, DivergedError, Interrupted, Terminated
from cnncli.resuming import picked_up
from cnncli.run import Run
from cnncli.session import Display
from cnncli.signals import ending


def train(
    config: Config, num_seeds: int, display: Display, again: str, resume: bool = False, allow_changes: bool = False
) -> dict[str, Any]:
    """Train with seeds from ``train.seed`` on; return what ``--json`` prints.

    With ``resume`` seeds that were begun go on, and those that are done are only tested again; without it a run
    directory that is there already is a ``ConfigError``. ``again`` is the command that goes on with all of it.
    """
    configs = [of_seed(config, config.train.seed + number) for number in range(num_seeds)]
    runs = [Run(Path(each.train.output) / str(each.train.name)) for each in configs]
    taken = [run.path for run in runs if run.path.exists()]
    if taken and not resume and ranks.rank() == 0:
        raise ConfigError(f"{taken[0]} is there already; go on with it by --resume auto, or take another --name")
    results = []
    try:
        with ending():
            for number, (each, run) in enumerate(zip(configs, runs, strict=True), start=1):
                display.note(f"seed {each.train.seed}, {number} of {num_seeds}")
                results.append(_trained(each, run, display, allow_changes))
    except (Interrupted, Terminated) as stop:
        raise type(stop)(f"{stop}\nThe series goes on with: {ranks.as_started(again)}") from None
    if all(result["problem"] for result in results):
        raise ConfigError(f"none of {num_seeds} seeds could be trained; the last one: {results[-1]['problem']}")
    return {"runs": results, **together(results)}


def _trained(config: Config, run: Run, display: Display, allow_changes: bool) -> dict[str, Any]:
    """Train one seed; where it diverges that is its ``problem``, which keeps no other from being trained."""
    is_whole = not run.is_begun  # what was done before took time that nobody has counted
    row = {"seed": config.train.seed, "problem": None}
    try:
        result = launch.train(picked_up(config, run), run, display, allow_changes)
    except DivergedError as error:
        display.note(f"seed {config.train.seed}: {error}")
        return row | {"problem": str(error), "run_dir": str(run.path), "best": None, "test": None, "seconds": None}
    return row | result | {"seconds": result["seconds"] if is_whole else None}


def of_seed(config: Config, seed: int) -> Config:
    """Return a config with another seed, and a run directory that is named after it."""
    sections = config.model_dump(exclude_unset=True)
    sections["train"] = {**sections["train"], "seed": seed, "name": f"{config.train.name}-seed{seed}"}
    seeded = validate(Document("--seeds", sections))
    seeded._document = config._document  # where what is found wrong later was given
    return seeded


def together(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean, standard deviation and range of the accuracies, and the median time of runs made in one go."""
    found = {
        "val_accuracy": [result["best"]["val"]["accuracy"] for result in results if result["best"]],
        "test_accuracy": [result["test"]["accuracy"] for result in results if result["test"]],
    }
    seconds = [result["seconds"] for result in results if result["seconds"] is not None]
    return {
        **{name: asdict(spread_of(values)) if values else None for name, values in found.items()},
        "median_seconds": statistics.median(seconds) if seconds else None,
    }
