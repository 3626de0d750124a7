"""The loop: epochs, steps and evaluation, the same on every device."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from cnncli.pipeline import Batch
from cnncli.runtime import Runtime
from cnncli.training.meters import Meter, Metrics
from cnncli.training.state import TrainState


class Loader(Protocol):
    """Where batches come from; the loop does not ask how."""

    @property
    def num_images(self) -> int:
        """Images in an epoch."""
        ...

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, epoch: int, position: int = 0) -> Iterator[Batch]:
        """Yield what follows the first ``position`` images of an epoch's plan, augmented."""
        ...

    def in_order(self) -> Iterator[Batch]:
        """Yield all images as they are."""
        ...


@dataclass(frozen=True)
class StepRecord:
    """One row of steps.jsonl; ``epoch`` counts from 1, ``loss`` is the batch's."""

    step: int
    epoch: int
    lr: float
    loss: float


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to; ``seconds`` leave validation out and take saving and drawing in."""

    epoch: int
    step: int
    lr: float
    seconds: float
    images_per_second: float
    train: Metrics
    validation: Metrics | None


@dataclass(frozen=True)
class Watch:
    """What looks on: ``log`` gets a row every ``log_every`` steps, ``progress`` wraps the batches it counts.

    ``progress`` takes batches, their number and a word for them.
    """

    log_every: int
    log: Callable[[StepRecord], None]
    progress: Callable[[Iterable[Batch], int, str], Iterable[Batch]]


def fit(
    state: TrainState, loader: Loader, validation: Loader | None, epochs: int, watch: Watch
) -> Iterator[EpochRecord]:
    """Train until ``epochs`` are done, and yield after each, when the caller may save the state.

    Raises ``DivergedError`` as soon as it is known, at the latest before an epoch is yielded.
    """
    started = time.perf_counter()
    while state.epoch < epochs:
        num_images = loader.num_images - state.position
        label = f"epoch {state.epoch + 1}/{epochs}"
        batches = loader.epoch(state.epoch, state.position)
        train = train_one_epoch(state, watch.progress(batches, loader.num_batches, label), watch)
        state.check_finite()
        state.epoch, state.position = state.epoch + 1, 0
        seconds = time.perf_counter() - started
        scores = None
        if validation is not None:
            shown = watch.progress(validation.in_order(), validation.num_batches, f"{label} validation")
            scores = evaluate(state.evaluated_model, state.criterion, shown, state.runtime)
        state.schedule.observe((scores or train).loss)
        # What the caller does with the record (saving, drawing) belongs to the seconds of the next one.
        started = time.perf_counter()
        yield EpochRecord(state.epoch, state.steps, state.lr, seconds, num_images / seconds, train, scores)


def train_one_epoch(state: TrainState, batches: Iterable[Batch], watch: Watch) -> Metrics:
    """Make one pass over ``batches``, one update each; return the means over all images, taken before each update."""
    state.model.train()
    meter = Meter(state.runtime.device)
    for images, labels in batches:
        with state.runtime.autocast():
            logits = state.model(images)
            loss = state.criterion(logits, labels)
        state.step(loss)  # backward, clip, optimizer, schedule, EMA
        state.position += len(labels)
        meter.update(loss.detach(), logits.detach(), labels)  # stays on the device
        if state.steps % watch.log_every == 0:
            state.check_finite()  # here the host waits for the device, and nowhere else
            watch.log(StepRecord(state.steps, state.epoch + 1, state.lr, loss.item()))
    return meter.compute()


@torch.inference_mode()
def evaluate(model: nn.Module, criterion: nn.Module, batches: Iterable[Batch], runtime: Runtime) -> Metrics:
    """Score ``model`` on ``batches`` without training it."""
    model.eval()
    meter = Meter(runtime.device)
    for images, labels in batches:
        with runtime.autocast():
            logits = model(images)
            loss = criterion(logits, labels)
        meter.update(loss, logits, labels)
        meter.update_top5(logits, labels)
    return meter.compute()
