"""The loop: epochs, steps and evaluation, the same on every device."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnncli.errors import DivergedError
from cnncli.pipeline import Batch
from cnncli.pipeline.loader import Loader
from cnncli.runtime import Runtime
from cnncli.training.freezing import begin_training
from cnncli.training.losses import weight_of
from cnncli.training.meters import Meter, Metrics
from cnncli.training.state import TrainState


@dataclass(frozen=True)
class StepRecord:
    """One row of steps.jsonl; ``epoch`` counts from 1, ``loss`` is the batch's."""

    step: int
    epoch: int
    lr: float
    loss: float


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to; ``seconds`` leave validation out and take saving and drawing in.

    ``overflows`` counts the steps so far that were skipped for infinite fp16 gradients.
    """

    epoch: int
    step: int
    lr: float
    overflows: int
    seconds: float
    images_per_second: float
    train: Metrics
    validation: Metrics | None


@dataclass(frozen=True)
class Watch:
    """What looks on: ``log`` gets a row every ``log_every`` steps, ``progress`` wraps the batches it counts.

    ``progress`` takes batches, their number and a word for them. ``pause`` is called between batches, by all ranks
    alike: it may save the state as it is, and raise to stop.
    """

    log_every: int = 50
    log: Callable[[StepRecord], None] = lambda record: None
    progress: Callable[[Iterable[Batch], int, str], Iterable[Batch]] = lambda batches, number, word: batches
    pause: Callable[[], None] = lambda: None


def fit(
    state: TrainState, loader: Loader, validation: Loader | None, epochs: int, watch: Watch, accumulate: int = 1
) -> Iterator[EpochRecord]:
    """Train until ``epochs`` are done, and yield after each, when the caller may save the state.

    Raises ``DivergedError`` as soon as it is known, at the latest before an epoch is yielded.
    """
    state.tick(counts=False)
    while state.epoch < epochs:
        label, first, batch_size = f"epoch {state.epoch + 1}/{epochs}", state.position, loader.recipe.batch_size
        batches, remaining = loader.epoch(state.epoch, first), -(-(loader.num_images - first) // batch_size)
        try:
            train = train_one_epoch(state, watch.progress(batches, remaining, label), watch, accumulate)
            state.check_finite()
        except DivergedError as error:
            batch = -(-(state.position - first) // batch_size) - 1 - error.steps_ago  # of those since the run went on
            named = loader.named(state.epoch, first + batch * batch_size)
            raise DivergedError(error.step, error.lr, 0, f", {named}") from None
        scores = None
        if validation is not None:
            state.runtime.agree(state.evaluated_model)  # or each rank would score one of its own
            shown = watched(validation, watch, f"{label} validation")
            scores = evaluate(state.evaluated_model, state.criterion, shown, state.runtime)
        state.schedule.observe((scores or train).loss)
        seconds = state.seconds
        state.tick(counts=False)  # what the caller does with the record (saving, drawing) belongs to the next epoch
        state.end_epoch()
        speed = loader.num_images / seconds
        yield EpochRecord(state.epoch, state.steps, state.lr, state.overflows, seconds, speed, train, scores)


def watched(loader: Loader, watch: Watch, label: str, canvases: bool = False) -> Iterable[Batch]:
    """Return all images of a split in their order, to be scored while ``watch`` looks on."""
    num_batches = loader.num_batches_in_order
    return watch.progress(pausing(loader.in_order(canvases), num_batches, watch.pause), num_batches, label)


def pausing(batches: Iterable[Batch], num_batches: int, pause: Callable[[], None]) -> Iterator[Batch]:
    """Yield ``batches``, of which a rank may have fewer than others, with as many pauses before them on all ranks."""
    each = iter(batches)
    for _ in range(num_batches):
        pause()
        if (batch := next(each, None)) is not None:
            yield batch
    yield from each  # none: what reads ahead learns that this pass is over


def train_one_epoch(state: TrainState, batches: Iterable[Batch], watch: Watch, accumulate: int = 1) -> Metrics:
    """Make a pass over ``batches``, one update each; return the means over the epoch so far, taken before each update.

    Each batch is computed in up to ``accumulate`` parts one after the other, to the same update.
    """
    begin_training(state.model)
    state.criterion.train()
    meter = state.meter
    for batch in batches:
        total, parts = state.weigh(batch), batch.parts(accumulate)
        meter.num_skipped += batch.num_skipped
        for number, part in enumerate(parts, start=1):
            with state.sharing(is_last=number == len(parts)):
                with state.runtime.autocast():
                    logits = state.network(part.images)
                    loss = state.criterion(logits, part.targets)
                weight = weight_of(state.criterion, part.targets) if part.counts else 0.0
                state.backward(loss, weight / total)
            if part.counts:
                meter.update(loss.detach(), weight, logits.detach(), part.labels)  # stays on the device
        state.position += batch.size
        state.step()  # clip, optimizer, schedule, EMA
        if state.steps % watch.log_every == 0:
            state.check_finite()  # here the host waits for the device, and nowhere else
            watch.log(StepRecord(state.steps, state.epoch + 1, state.lr, state.last_loss.item()))
        watch.pause()
    return meter.compute()


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    criterion: nn.Module,
    batches: Iterable[Batch],
    runtime: Runtime,
    keep: Callable[[Batch, Tensor], None] = lambda batch, logits: None,
) -> Metrics:
    """Score ``model`` on ``batches`` without training it; ``keep`` is given each batch and its logits."""
    model.eval()
    criterion.eval()
    meter = Meter(runtime, five=True)
    for batch in batches:
        meter.num_skipped += batch.num_skipped
        if not batch.counts:
            continue
        with runtime.autocast():
            logits = model(batch.images)
            loss = criterion(logits, batch.labels)
        meter.update(loss, len(batch.labels), logits, batch.labels)
        keep(batch, logits)
    return meter.compute()
