"""Training from the first step to the test, with all of it noted in a run directory."""

import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from typing import Any, Protocol

import torch

from cnncli import checkpoint as checkpoints
from cnncli import files
from cnncli.checkpoint import Checkpoint
from cnncli.config.loading import dump
from cnncli.config.schema import Config
from cnncli.errors import CheckpointError, Interrupted, Terminated
from cnncli.experiment import Experiment
from cnncli.pages.curves import draw_curves
from cnncli.pipeline import Batch
from cnncli.pipeline.loader import Loader
from cnncli.run import Run
from cnncli.training.loop import EpochRecord, StepRecord, Watch, evaluate, fit, train_one_epoch
from cnncli.training.meters import Metrics
from cnncli.training.state import TrainState

SECONDS_BETWEEN_DRAWINGS = 10

# What a resumed run may do otherwise than before; more epochs only where the schedule does not depend on their number.
MAY_CHANGE = {
    *("data.workers", "data.cache"),
    *("runtime.device", "runtime.threads", "runtime.memory_format"),
    *("train.log_every", "train.output", "train.name"),
}
OPEN_ENDED = {"constant", "step", "plateau"}


class Display(Protocol):
    """Where progress is shown."""

    def note(self, text: str) -> None:
        """Say something once."""
        ...

    def follow(self, batches: Iterable[Batch], num_batches: int, label: str) -> Iterable[Batch]:
        """Yield the batches while showing how many there were."""
        ...

    def epoch(self, row: dict[str, Any], num_epochs: int) -> None:
        """Show an epoch's row of the history."""
        ...


class Session:
    """One training of one experiment, noted in one run directory."""

    def __init__(self, experiment: Experiment, run: Run, display: Display) -> None:
        self.experiment, self.run, self.display = experiment, run, display
        self.config, self.runtime = experiment.config, experiment.runtime
        self.history: list[dict[str, Any]] = []
        self._drawn = 0.0  # when

    def train(self, resumed: Checkpoint | None = None) -> dict[str, Any]:
        """Train, validate after each epoch, test at the end; return what ``cnn train --json`` prints.

        Raises ``Interrupted`` or ``Terminated``, saying what was saved, and ``DivergedError``.
        """
        started = time.perf_counter()
        experiment, settings = self.experiment, self.config.train
        experiment.check_classes()
        loader = experiment.train_loader()
        validation = experiment.eval_loader(settings.validate_on, often=True)
        # Read before the first step: what is wrong with it had better be known now than after the last epoch.
        test = validation if settings.validate_on == "test" else experiment.eval_loader("test")
        watch = Watch(settings.log_every, self._log_step, self.display.follow)
        with self.runtime.guard(settings.batch_size):
            state = experiment.build_state(loader)
            self._begin(state, resumed)
            self._introduce(state, loader, validation)
            try:
                for record in fit(state, loader, validation, settings.epochs, watch, settings.accumulate):
                    self._end_epoch(state, record)
                self._draw()
                result = self._test(test)
            except (KeyboardInterrupt, Terminated) as stop:
                raise self._stopped(stop) from None
        best = best_row(self.history)
        return {
            "run_dir": str(self.run.path),
            "epochs": state.epoch,
            "steps": state.steps,
            "seconds": time.perf_counter() - started,
            "best": best and {"epoch": best["epoch"], "val": best["val"]},
            "test": result,
        }

    def _begin(self, state: TrainState, resumed: Checkpoint | None) -> None:
        """Save the state before the first step, or take it back from where the run was stopped."""
        if resumed is not None:
            state.load_state_dict(resumed.state)
            self.history = self.runtime.from_main(lambda: self.run.cut(state.epoch, state.steps))
        elif self.runtime.is_main:
            repeat = f"# Repeat this run: cnn train --config {self.run.config}\n"
            self.run.config.write_text(repeat + dump(self.config.model_dump()), encoding="utf-8")
            checkpoints.save(self.experiment.checkpoint(state), self.run.last)
        if self.runtime.is_main:
            self.run.write_environment(_environment(self.experiment))

    def _introduce(self, state: TrainState, loader: Loader, validation: Loader | None) -> None:
        config, runtime = self.config, self.runtime
        num_parameters = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
        what = "to test" if config.train.validate_on == "test" else "to validate"
        images = f"{loader.num_images:,} images to train"
        images += f", {validation.num_images:,} {what}" if validation else ""
        ranks = f"{runtime.world_size} processes on " if runtime.world_size > 1 else ""
        threads = f" with {runtime.threads} threads" if runtime.device.type == "cpu" else ""
        self.display.note(
            f"{config.model.name}, {num_parameters:,} parameters; {config.data.name}, {images};"
            f" {ranks}{runtime.device}{threads}, {runtime.precision}; {self.run.path}"
        )
        if state.epoch:
            self.display.note(f"resumed after epoch {state.epoch}, step {state.steps:,}")

    def _log_step(self, record: StepRecord) -> None:
        if self.runtime.is_main:
            self.run.log_step(asdict(record))

    def _end_epoch(self, state: TrainState, record: EpochRecord) -> None:
        """Note an epoch, save what is due, and draw now and then."""
        self.history.append(_row(record, self.config))
        if self.runtime.is_main:
            self._note_epoch(state)
        self.display.epoch(self.history[-1], self.config.train.epochs)

    def _note_epoch(self, state: TrainState) -> None:
        self.run.log_epoch(self.history[-1])
        improved = best_row(self.history) is self.history[-1]
        last = state.epoch == self.config.train.epochs
        if improved or last or state.epoch % self.config.checkpoint.every_epochs == 0:
            checkpoints.save(self.experiment.checkpoint(state), self.run.last)
        if improved:
            files.link(self.run.last, self.run.best)
        if not last and time.perf_counter() - self._drawn > SECONDS_BETWEEN_DRAWINGS:
            self._draw()

    def _draw(self) -> None:
        if not self.runtime.is_main:
            return
        draw_curves({self.run.path.name: self.history}, self.run.curves)
        self._drawn = time.perf_counter()

    def _test(self, loader: Loader | None) -> dict[str, Any] | None:
        """Score the checkpoint that ``train.report`` names on the test split, once, as ``cnn eval`` would."""
        if loader is None:
            return None
        path = self.run.best if self.config.train.report == "best" else self.run.last
        metrics = self.experiment.score(self.runtime.from_main(lambda: checkpoints.load(path)), loader)
        return {"checkpoint": str(path), **_measured(metrics), "num_images": metrics.num_images}

    def _stopped(self, stop: BaseException) -> Interrupted | Terminated:
        kind = Terminated if isinstance(stop, Terminated) else Interrupted
        saved = f"{self.run.last} holds the run after {len(self.history)} epochs"
        return kind(f"stopped; {saved}. Go on with: cnn train --resume {self.run.path}")


def dry_run(experiment: Experiment, display: Display) -> dict[str, Any]:
    """Take one training step and score one batch of each other split; write nothing."""
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


def check_resume(config: Config, checkpoint: Checkpoint) -> None:
    """Raise ``CheckpointError`` listing what differs between a settled config and the one that a run began with."""
    before, now = _flat(checkpoint.config), _flat(config.model_dump())
    allowed = MAY_CHANGE | ({"train.epochs"} if config.schedule.name in OPEN_ENDED else set())
    changed = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    if refused := [key for key in changed if key not in allowed]:
        lines = [f"  {key}: was {before.get(key)}, would be {now.get(key)}" for key in refused]
        raise CheckpointError(
            "a resumed run goes on as it began, but these differ:\n"
            + "\n".join(lines)
            + "\nleave them as they were, or start a new run"
        )


def best_row(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the epoch of the highest validation accuracy; of equal ones that of the lower loss, then the earlier."""
    validated = [row for row in history if row["val"]]
    return max(validated, key=lambda row: (row["val"]["accuracy"], -row["val"]["loss"]), default=None)


def _row(record: EpochRecord, config: Config) -> dict[str, Any]:
    """Return an epoch as history.jsonl has it: scores on the test split are never called val."""
    row, validate_on = asdict(record), config.train.validate_on
    del row["train"], row["validation"]
    if config.data.on_error == "skip":
        row["num_skipped"] = record.train.num_skipped + (record.validation.num_skipped if record.validation else 0)
    scores = _measured(record.validation) if record.validation else None
    row |= {"train": _measured(record.train), "val": scores if validate_on == "val" else None}
    return row | ({"test": scores} if validate_on == "test" else {})


def _measured(metrics: Metrics) -> dict[str, Any]:
    return {"loss": metrics.loss, "accuracy": metrics.accuracy}


def _tried(loader: Loader, batches: list[Batch], metrics: Metrics) -> dict[str, Any]:
    shape = list(batches[0].images.shape) if batches else None
    return {**_measured(metrics), "num_images": loader.num_images, "batch": shape}


def _flat(sections: dict[str, Any]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, fields in sections.items() for key, value in fields.items()}


def _environment(experiment: Experiment) -> dict[str, Any]:
    device = experiment.runtime.device
    return {
        "versions": {name: version(name) for name in ("cnncli", "torch", "torchvision", "numpy")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor(),
        "threads": experiment.runtime.threads,
        "command": sys.argv,
        "seed": experiment.config.train.seed,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
