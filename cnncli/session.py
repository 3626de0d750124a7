"""Training from the first step to the test, with all of it noted in a run directory."""

import math
import platform
import shlex
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch

from cnncli import checkpoint as checkpoints
from cnncli import files, ranks
from cnncli.checkpoint import Checkpoint
from cnncli.config.loading import dump
from cnncli.errors import CheckpointError, Interrupted, MachineError, Terminated
from cnncli.event_files import EventFiles
from cnncli.experiment import Experiment
from cnncli.history import best_row, best_rows, is_hopeless, measured, row_of
from cnncli.pages.curves import draw_curves
from cnncli.pipeline import Batch
from cnncli.pipeline.loader import Loader
from cnncli.resuming import Changes, changes_of, data_changes_of, without_foreign_state
from cnncli.run import Run
from cnncli.scoring import score
from cnncli.signals import Signals
from cnncli.text import counted
from cnncli.training.loop import EpochRecord, StepRecord, Watch, fit
from cnncli.training.state import TrainState

SECONDS_BETWEEN_DRAWINGS = 10


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
        self.signals = Signals(display.note)
        self.events = EventFiles(run, self.config.logging.tensorboard and self.runtime.is_main)
        self.history: list[dict[str, Any]] = []
        self._saved = (0, 0)  # what of: epoch and position
        self._saved_when = self._drawn_when = 0.0

    def train(
        self, resumed: Checkpoint | None = None, allow_changes: bool = False, test_at_end: bool = True
    ) -> dict[str, Any]:
        """Train, validate after each epoch, test at the end; return what ``cnn train --json`` prints.

        Raises ``Interrupted`` or ``Terminated``, saying what was saved, ``DivergedError``, and ``CheckpointError``
        where what was ``resumed`` differs, unless it is to ``allow_changes``.
        """
        started = time.perf_counter()
        experiment, settings = self.experiment, self.config.train
        changes = changes_of(self.config, resumed, allow_changes) if resumed else {}
        experiment.check_classes()
        experiment.fetch_weights()  # now: later a Ctrl-C would wait for it
        loader = experiment.train_loader()
        validation = experiment.eval_loader(settings.validate_on, often=True)
        # Read before the first step: what is wrong with it had better be known now than after the last epoch.
        test = None
        if test_at_end:
            test = validation if settings.validate_on == "test" else experiment.eval_loader("test")
        changes |= data_changes_of(experiment.seen, resumed, allow_changes) if resumed else {}
        with self.runtime.guard(settings.batch_size), self.signals.heard(), closing(self.events):
            state = experiment.build_state(loader)
            self._resume(state, resumed, changes) if resumed else self._begin(state)
            self.events.begin()
            self._introduce(state, loader, validation)
            watch = Watch(settings.log_every, self._log_step, self.display.follow, partial(self._pause, state))
            records = fit(state, loader, validation, settings.epochs, watch, settings.accumulate)
            while not self._is_over(state):
                self._end_epoch(state, next(records))
            if state.epoch < settings.epochs:
                self.display.note(f"ended early: {counted(settings.patience or 0, 'epoch')} without a better one")
            self._draw()
            result = self._test(test, watch)
            if result is not None and settings.validate_on == "val":  # else it is the last epoch's
                self.events.scores("test", result, state.steps)
        best = best_row(self.history)
        return {
            "run_dir": str(self.run.path),
            "epochs": state.epoch,
            "steps": state.steps,
            "seconds": time.perf_counter() - started,
            "best": best and {"epoch": best["epoch"], "val": best["val"]},
            "test": result,
        }

    def _begin(self, state: TrainState) -> None:
        """Note what is trained, and save the state before the first step."""
        if self.runtime.is_main:
            self.run.cut([], step=0)
            self._write_config()
            self.run.write_environment(_environment(self.experiment))
        self._save(state)

    def _resume(self, state: TrainState, resumed: Checkpoint, changes: Changes) -> None:
        """Take the state back from where the run was stopped, drop what was noted after that, and note the changes."""
        state.load_state_dict(without_foreign_state(resumed.state, changes))
        if self.config.train.epochs < (begun := state.epoch + (state.position > 0)):
            raise CheckpointError(f"the run is in epoch {begun} already, so train.epochs must be at least that")
        if (state.epoch, state.steps) != self.runtime.from_main(lambda: (state.epoch, state.steps)):
            raise MachineError(f"{self.run.last} is not the same file here as for the first process")
        self.history = list(resumed.history)
        self._saved, self._saved_when = (state.epoch, state.position), time.monotonic()
        if self.runtime.is_main:
            self._note_resumed(state, changes)
        if changes:
            self._save(state)  # with the config as it is now

    def _note_resumed(self, state: TrainState, changes: Changes) -> None:
        if self.run.cut(self.history, state.steps):
            self._draw()
        if state.position == 0 and self.history:
            self._keep_best()  # it may have ended between the two
        if changes:
            self._write_config()
        before = self.run.read_environment().get("resumed", [])
        environment = _environment(self.experiment)
        here = {"epoch": state.epoch, "step": state.steps, "started": environment["started"], "changes": changes}
        self.run.write_environment({**environment, "resumed": [*before, here]})

    def _write_config(self) -> None:
        repeat = f"# Repeat this run: cnn train --config {self.run.config}\n"
        self.run.write_config(repeat + dump(self.config.model_dump()))

    def _introduce(self, state: TrainState, loader: Loader, validation: Loader | None) -> None:
        config, runtime = self.config, self.runtime
        num_parameters = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
        what = "to test" if config.train.validate_on == "test" else "to validate"
        images = f"{loader.num_images:,} images to train"
        images += f", {validation.num_images:,} {what}" if validation else ""
        several = f"{runtime.world_size} processes on " if runtime.world_size > 1 else ""
        threads = f" with {counted(runtime.threads, 'thread')}" if runtime.device.type == "cpu" else ""
        self.display.note(
            f"{config.model.name}, {num_parameters:,} parameters; {config.data.name}, {images};"
            f" {several}{runtime.device}{threads}, {runtime.precision}; {self.run.path}"
        )
        if state.steps:
            self.display.note(f"resumed {_where(state)}")

    def _log_step(self, record: StepRecord) -> None:
        if self.runtime.is_main:
            self.run.log_step(asdict(record))
            self.events.step(asdict(record))

    def _pause(self, state: TrainState) -> None:
        """Save where that is due, and stop where that was asked for, on all ranks after the same step."""
        settings = self.config.checkpoint
        is_late = time.monotonic() - self._saved_when > 60 * (settings.every_minutes or math.inf)
        late, asked, stop = self.runtime.highest(is_late, self.signals.save, self.signals.stop)
        if asked:
            self.signals.save = False
        is_due = settings.every_steps is not None and state.steps % settings.every_steps == 0
        if (is_due or late or asked or stop) and self._saved != (state.epoch, state.position):
            self._save(state)
        if asked:
            self.display.note(f"saved {_where(state)}")
        if stop:
            raise self._stopped(state, stop)

    def _save(self, state: TrainState) -> None:
        """Write ``last.pt``, unless the state is no longer finite."""
        state.check_finite()
        checkpoint = self.experiment.checkpoint(state, self.history)
        if self.runtime.is_main:
            checkpoints.save(checkpoint, self.run.last)
        self._saved, self._saved_when = (state.epoch, state.position), time.monotonic()

    def _end_epoch(self, state: TrainState, record: EpochRecord) -> None:
        """Note an epoch, save what is due, and draw now and then."""
        self.history.append(row_of(record, self.config))
        is_kept = self.history[-1] in best_rows(self.history, self.config.checkpoint.keep_best)
        last = self._is_over(state)
        if self.runtime.is_main:
            self.run.log_epoch(self.history[-1])
            self.events.epoch(self.history[-1])
        if is_kept or last or state.epoch % self.config.checkpoint.every_epochs == 0:
            self._save(state)
        if is_kept and self.runtime.is_main:
            self._keep_best()
        if not last and time.monotonic() - self._drawn_when > SECONDS_BETWEEN_DRAWINGS:
            self._draw()
        self.display.epoch(self.history[-1], self.config.train.epochs)

    def _keep_best(self) -> None:
        """Keep ``last.pt`` where its epoch is one of the best, and those of before that still are."""
        number = self.config.checkpoint.keep_best
        best, now = [row["epoch"] for row in best_rows(self.history, number)], self.history[-1]["epoch"]
        if now in best[:1]:
            files.link(self.run.last, self.run.best)
        if number > 1:
            if now in best:
                files.link(self.run.last, self.run.of_epoch(now))
            for epoch in {row["epoch"] for row in self.history} - {*best}:
                self.run.of_epoch(epoch).unlink(missing_ok=True)

    def _is_over(self, state: TrainState) -> bool:
        """Whether all epochs are done, or those left are not worth it."""
        settings = self.config.train
        return state.epoch == settings.epochs or (not state.position and is_hopeless(self.history, settings.patience))

    def _draw(self) -> None:
        if self.runtime.is_main:
            draw_curves({self.run.path.name: self.history}, self.run.curves)
        self._drawn_when = time.monotonic()

    def _test(self, loader: Loader | None, watch: Watch) -> dict[str, Any] | None:
        """Score the checkpoint that ``train.report`` names on the test split, once, as ``cnn eval`` would."""
        if loader is None:
            return None
        path = self.run.best if self.config.train.report == "best" else self.run.last
        checkpoint = self.runtime.from_main(partial(self._reported, path))
        metrics = score(self.experiment, checkpoint, loader, watch)
        return {"checkpoint": str(path), **measured(metrics), "num_images": metrics.num_images}

    def _reported(self, path: Path) -> Checkpoint:
        try:
            return checkpoints.load(path)
        except CheckpointError as error:
            last = shlex.quote(str(self.run.last))
            raise CheckpointError(f"{error}; training is done: score its last epoch with: cnn eval {last}") from None

    def _stopped(self, state: TrainState, number: int) -> Interrupted | Terminated:
        if self.history:
            self._draw()
        again = ranks.as_started(f"cnn train --resume {shlex.quote(str(self.run.path))}")
        kind = Terminated if number == signal.SIGTERM else Interrupted
        return kind(f"stopped {_where(state)}; {self.run.last} holds the run. Go on with: {again}")


def _where(state: TrainState) -> str:
    """Say how far a run has come."""
    where = f"after {counted(state.epoch, 'epoch')}"
    where += f" and {counted(state.position, 'image')} of the next" if state.position else ""
    return f"{where}, {counted(state.steps, 'step')}"


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
