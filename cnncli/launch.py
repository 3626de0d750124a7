"""From a config to a run that begins, goes on, or is only tried."""

from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from cnncli import files
from cnncli.checkpoint import load_newest, previous
from cnncli.config.schema import Config
from cnncli.errors import RunBusyError
from cnncli.experiment import Experiment
from cnncli.extras import needed
from cnncli.pipeline import Batch
from cnncli.pipeline.loader import Loader
from cnncli.run import Run
from cnncli.session import Display, Session
from cnncli.training.loop import Watch, evaluate, train_one_epoch
from cnncli.training.meters import Metrics


def train(
    config: Config, run: Run | None, display: Display, allow_changes: bool = False, test_at_end: bool = True
) -> dict[str, Any]:
    """Train in a new directory, or in that of ``run``, which goes on if it was begun; return what ``--json`` prints.

    Raises ``RunBusyError`` where another process trains there, ``MachineError`` where a library is missing, and what
    :meth:`Session.train` raises.
    """
    if config.logging.tensorboard:
        needed("tensorboard", "tensorboard")
    with ExitStack() as stack:
        resumed, warnings = None, list[str]()
        if run is not None and run.is_begun:
            stack.enter_context(run.locked())
            resumed = load_newest(run.last, warnings.append)
        experiment = Experiment.prepare(config, display.note, resumed)
        if run is not None and warnings and experiment.runtime.is_main:
            display.note(f"warning: {warnings[0]}")
            files.link(previous(run.last), run.last)  # or the next save would keep the damaged one as the one before
        if run is None or resumed is None:
            run = experiment.runtime.from_main(lambda: _directory(run, experiment.config))
            stack.enter_context(run.locked())
            if run.is_begun and experiment.runtime.is_main:
                raise RunBusyError(f"{run.path} was begun by another process meanwhile; start again to go on with it")
        stack.enter_context(experiment.listing_broken(*experiment.splits.names))
        return Session(experiment, run, display).train(resumed, allow_changes, test_at_end)


def dry_run(config: Config, run: Run | None, display: Display) -> dict[str, Any]:
    """Take one training step and score one batch of each other split; write nothing."""
    config.data.cache = "off"  # which would be written
    resumed = load_newest(run.last, display.note) if run is not None and run.is_begun else None
    experiment = replace(Experiment.prepare(config, display.note, resumed), may_write=False)
    with experiment.listing_broken(*experiment.splits.names):
        return try_out(experiment, display)


def try_out(experiment: Experiment, display: Display) -> dict[str, Any]:
    """Take one training step and score one batch of each other split."""
    experiment.check_classes()
    loader = experiment.train_loader()
    result: dict[str, Any] = {"dry_run": True}
    with experiment.runtime.guard(experiment.config.train.batch_size):
        state = experiment.build_state(loader)
        watch = Watch(1, lambda record: None, display.follow)
        first = list(islice(loader.epoch(0), 1))
        accumulate = experiment.config.train.accumulate
        result["train"] = _tried(loader, first, train_one_epoch(state, first, watch, accumulate))
        for name in ("val", "test"):
            result[name] = None
            if (scored := experiment.eval_loader(name)) is not None:
                first = list(islice(scored.in_order(), 1))  # none on a rank without images
                metrics = evaluate(state.evaluated_model, state.criterion, first, experiment.runtime)
                result[name] = _tried(scored, first, metrics)
    return result


def _directory(run: Run | None, config: Config) -> Run:
    return Run.at(run.path) if run is not None else Run.create(Path(config.train.output), config.train.name or "run")


def _tried(loader: Loader, batches: list[Batch], metrics: Metrics) -> dict[str, Any]:
    shape = list(batches[0].images.shape) if batches else None
    return {"loss": metrics.loss, "accuracy": metrics.accuracy, "num_images": loader.num_images, "batch": shape}
