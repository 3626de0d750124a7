"""Training from the first step to the test, with all of it noted in a run directory."""

import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Protocol

import torch

from cnncli import checkpoint as checkpoints
from cnncli.checkpoint import Checkpoint
from cnncli.config.loading import dump
from cnncli.config.schema import Config
from cnncli.errors import CheckpointError, Interrupted, Terminated
from cnncli.experiment import Experiment
from cnncli.pages.curves import draw_curves
from cnncli.pipeline import Batch
from cnncli.pipeline.resident import ResidentLoader
from cnncli.run import Run
from cnncli.training.loop import EpochRecord, Watch, evaluate, fit, train_one_epoch
from cnncli.training.meters import Metrics
from cnncli.training.state import TrainState

SECONDS_BETWEEN_DRAWINGS = 10

# What a resumed run may do otherwise than before; more epochs only where the schedule does not depend on their number.
MAY_CHANGE = {
    "runtime.device",
    "runtime.threads",
    "runtime.memory_format",
    "train.log_every",
    "train.output",
    "train.name",
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


def train(experiment: Experiment, run: Run, display: Display, resumed: Checkpoint | None = None) -> dict[str, Any]:
    """Train, validate after each epoch, test at the end; return what ``cnn train --json`` prints.

    Raises ``Interrupted`` or ``Terminated`` with what was saved, and ``DivergedError``.
    """
    started = time.perf_counter()
    config = experiment.config
    train_split, val_split = experiment.load_train_and_val()
    loader = experiment.train_loader(train_split)
    judged = experiment.load_split("test") if config.train.validate_on == "test" else val_split
    with experiment.runtime.memory_guard(config.train.batch_size):
        state = experiment.build_state(loader.num_images)
        history: list[dict[str, Any]] = []
        if resumed is None:
            run.config.write_text(f"# Repeat this run: cnn train --config {run.config}\n{dump(config.model_dump())}")
            checkpoints.save(experiment.checkpoint(state), run.last)
        else:
            history = _restore(state, resumed, run)
        run.write_environment(_environment(experiment))
        _introduce(display, experiment, state, loader, judged)
        watch = Watch(config.train.log_every, lambda record: run.log_step(asdict(record)), display.follow)
        validation = experiment.eval_loader(judged) if judged is not None else None
        drawn = 0.0
        try:
            for record in fit(state, loader, validation, config.train.epochs, watch):
                history.append(_row(record, config.train.validate_on))
                run.log_epoch(history[-1])
                _save(experiment, state, run, history)
                display.epoch(history[-1], config.train.epochs)
                if time.perf_counter() - drawn > SECONDS_BETWEEN_DRAWINGS:
                    draw_curves({run.path.name: history}, run.curves)
                    drawn = time.perf_counter()
        except (KeyboardInterrupt, Terminated) as stop:
            raise _stopped(stop, run, history) from None
    draw_curves({run.path.name: history}, run.curves)
    best = best_row(history)
    return {
        "run_dir": str(run.path),
        "epochs": state.epoch,
        "steps": state.steps,
        "seconds": time.perf_counter() - started,
        "best": best and {"epoch": best["epoch"], "val": best["val"]},
        "test": _test(experiment, run),
    }


def check_resume(config: Config, checkpoint: Checkpoint) -> None:
    """Raise ``CheckpointError`` listing what differs between a settled config and the one that a run began with."""
    before, now = _flat(checkpoint.config), _flat(config.model_dump())
    allowed = MAY_CHANGE | ({"train.epochs"} if config.schedule.name in OPEN_ENDED else set())
    changed = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    if refused := [key for key in changed if key not in allowed]:
        lines = [f"  {key}: was {before.get(key)}, would be {now.get(key)}" for key in refused]
        raise CheckpointError(
            "a resumed run goes on as it began; these differ:\n"
            + "\n".join(lines)
            + "\nleave them out, or start a new run"
        )


def dry_run(experiment: Experiment, display: Display) -> dict[str, Any]:
    """Take one training step and score one batch of each other split; write nothing."""
    train_split, val_split = experiment.load_train_and_val()
    loader = experiment.train_loader(train_split)
    result: dict[str, Any] = {"dry_run": True}
    with experiment.runtime.memory_guard(experiment.config.train.batch_size):
        state = experiment.build_state(loader.num_images)
        watch = Watch(1, lambda record: None, display.follow)
        first = [next(loader.epoch(0))]
        result["train"] = _measured(train_one_epoch(state, first, watch)) | _sizes(loader, first)
        for name, split in (("val", val_split), ("test", experiment.load_split("test"))):
            result[name] = None
            if split is not None:
                other = experiment.eval_loader(split)
                first = [next(other.in_order())]
                metrics = evaluate(state.evaluated_model, state.criterion, first, experiment.runtime)
                result[name] = _measured(metrics) | _sizes(other, first)
    state.check_finite()
    return result


def best_row(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the epoch of the highest validation accuracy, the lower loss and then the earlier one first."""
    validated = [row for row in history if row["val"]]
    return max(validated, key=lambda row: (row["val"]["accuracy"], -row["val"]["loss"]), default=None)


def _restore(state: TrainState, checkpoint: Checkpoint, run: Run) -> list[dict[str, Any]]:
    """Put the state back, and cut the history to it; return the history."""
    state.load_state_dict(checkpoint.state)
    return run.cut(state.epoch, state.steps)


def _save(experiment: Experiment, state: TrainState, run: Run, history: list[dict[str, Any]]) -> None:
    """Write last.pt when it is due, and link best.pt to it when this epoch is the best."""
    improved = best_row(history) is history[-1]
    due = state.epoch % experiment.config.checkpoint.every_epochs == 0 or state.epoch == experiment.config.train.epochs
    if improved or due:
        checkpoints.save(experiment.checkpoint(state), run.last)
    if improved:
        checkpoints.link(run.last, run.best)


def _test(experiment: Experiment, run: Run) -> dict[str, Any] | None:
    """Score the checkpoint that ``train.report`` names on the test split, once."""
    split = experiment.load_split("test")
    if split is None:
        return None
    path = run.best if experiment.config.train.report == "best" else run.last
    metrics = experiment.score(checkpoints.load(path), split)
    return {"checkpoint": str(path), **_measured(metrics), "num_images": metrics.num_images}


def _row(record: EpochRecord, validate_on: str) -> dict[str, Any]:
    """Return an epoch as history.jsonl has it: scores on the test split are never called val."""
    scores = _measured(record.validation) if record.validation else None
    row = {key: value for key, value in asdict(record).items() if key not in ("train", "validation")}
    row |= {"train": _measured(record.train), "val": scores if validate_on == "val" else None}
    return row | ({"test": scores} if validate_on == "test" else {})


def _measured(metrics: Metrics) -> dict[str, Any]:
    return {"loss": metrics.loss, "accuracy": metrics.accuracy}


def _sizes(loader: ResidentLoader, batches: list[Batch]) -> dict[str, Any]:
    return {"num_images": loader.num_images, "batch": list(batches[0].images.shape)}


def _flat(sections: dict[str, Any]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, fields in sections.items() for key, value in fields.items()}


def _introduce(
    display: Display, experiment: Experiment, state: TrainState, loader: ResidentLoader, judged: Any
) -> None:
    config, runtime = experiment.config, experiment.runtime
    num_parameters = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
    where = f"{runtime.device}, {runtime.threads} threads" if runtime.device.type == "cpu" else str(runtime.device)
    judging = (
        f" and {len(judged):,} to {'test' if config.train.validate_on == 'test' else 'validate'}" if judged else ""
    )
    display.note(
        f"{config.model.name} with {num_parameters:,} parameters; {config.data.name} with {loader.num_images:,} images"
        f" to train{judging}; {where}, {runtime.precision}"
    )
    if state.epoch:
        display.note(f"resumed after epoch {state.epoch}, step {state.steps:,}")


def _stopped(stop: BaseException, run: Run, history: list[dict[str, Any]]) -> Interrupted | Terminated:
    kind = Terminated if isinstance(stop, Terminated) else Interrupted
    saved = f"{run.last} holds the run after {len(history)} epochs"
    return kind(f"stopped; {saved}. Go on with: cnn train --resume {run.path}")


def _environment(experiment: Experiment) -> dict[str, Any]:
    runtime = experiment.runtime
    cuda = runtime.device.type == "cuda"
    return {
        "versions": {name: version(name) for name in ("cnncli", "torch", "torchvision", "numpy")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(runtime.device),
        "device_name": torch.cuda.get_device_name(runtime.device) if cuda else platform.processor(),
        "threads": runtime.threads,
        "command": sys.argv,
        "seed": experiment.config.train.seed,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
