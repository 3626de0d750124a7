"""Where the time of training goes: the loop against the limit of the machine, and its parts by themselves.

The limit is forward, backward and step on one batch that stays where it is. Rounds are interleaved, so that what else
the machine does meets all alike.
"""

import copy
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice

import torch

from cnncli.experiment import Experiment
from cnncli.pipeline import Batch
from cnncli.pipeline.streaming import StreamingLoader
from cnncli.runtime import FORMATS, MemoryFormat
from cnncli.training.loop import Watch, evaluate, train_one_epoch
from cnncli.training.state import TrainState

Progress = Callable[[Iterable[Batch], int, str], Iterable[Batch]]
Work = Callable[[int], int]  # computes so many batches to their end, and returns their images
AT_THE_LIMIT = 0.95
WORTH_SAYING = 1.05  # times as fast


@dataclass(frozen=True)
class Figures:
    """Images a second of all contenders, a number a round; ``limits`` by layout, ``layout`` being that of the loop.

    ``waiting`` is the share of the loop's time in which it had no batch, which files are read for where it ``streams``.
    ``peak_memory`` is in bytes.
    """

    loop: list[float]
    limits: dict[MemoryFormat, list[float]]
    layout: MemoryFormat
    loader: list[float]
    evaluation: list[float]
    inference: list[float]
    waiting: float
    streams: bool
    peak_memory: int | None

    @property
    def of_limit(self) -> float:
        """The share of the limit in the best layout that the loop reaches: the median over rounds."""
        return _ratio(self.loop, self.limits[self.best_layout])

    @property
    def of_inference(self) -> float:
        """The share of bare inference that evaluation reaches."""
        return _ratio(self.evaluation, self.inference)

    @property
    def best_layout(self) -> MemoryFormat:
        """The layout in which the limit is highest."""
        return max(self.limits, key=lambda layout: statistics.median(self.limits[layout]))

    @property
    def gain(self) -> float:
        """How many times as fast the limit is in the best layout as in that of the loop."""
        return _ratio(self.limits[self.best_layout], self.limits[self.layout])


class Timed:
    """Hands batches on, and adds up how long they were waited for."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches, self.seconds = batches, 0.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        started = time.perf_counter()
        batch = next(self.batches)
        self.seconds += time.perf_counter() - started
        return batch


def measure(experiment: Experiment, rounds: int, seconds: float, progress: Progress) -> Figures:
    """Race loop, limit, loader and evaluation for about ``seconds`` each in every one of ``rounds``.

    Weights and files are thrown away. What is scored is the split that training validates on, or that to train on.
    """
    train = experiment.train_loader()
    scored = experiment.eval_loader(experiment.config.train.validate_on, often=True) or train
    with experiment.runtime.guard(train.recipe.batch_size):
        state = experiment.build_state(train)
        batches = Timed(chain.from_iterable(map(train.epoch, count())))
        in_order = chain.from_iterable(scored.in_order() for _ in count())
        works: dict[str, Work] = {
            "loop": _loop(experiment, state, batches, progress),
            **{str(layout): _limit(experiment, state, next(batches), layout) for layout in FORMATS},
            "loader": lambda number: sum(len(batch.labels) for batch in islice(batches, number)),
            "evaluation": _evaluation(state, in_order),
            "inference": _inference(state, next(in_order)),
        }
        streams = isinstance(train, StreamingLoader)
        read_ahead = 3 * experiment.workers if streams else 0  # what workers may have at hand before they are asked
        speeds, waiting = _race(works, batches, rounds, seconds, read_ahead)
    return Figures(
        loop=speeds["loop"],
        limits={layout: speeds[layout] for layout in FORMATS},
        layout=experiment.runtime.memory_format,
        loader=speeds["loader"],
        evaluation=speeds["evaluation"],
        inference=speeds["inference"],
        waiting=waiting,
        streams=streams,
        peak_memory=experiment.runtime.peak_memory(),
    )


def _race(
    works: dict[str, Work], batches: Timed, rounds: int, seconds: float, read_ahead: int
) -> tuple[dict[str, list[float]], float]:
    """Return each one's images a second, and the share of the loop's time that it waited."""
    numbers = {name: _batches_in(work, seconds) for name, work in works.items()}
    speeds: dict[str, list[float]] = {name: [] for name in works}
    waited = looped = 0.0
    for _ in range(rounds):
        for name, work in works.items():
            work(read_ahead + 1)  # what was read before the clock started does not count
            before, started = batches.seconds, time.perf_counter()
            images = work(numbers[name])
            took = time.perf_counter() - started
            speeds[name].append(images / took)
            if name == "loop":
                waited, looped = waited + batches.seconds - before, looped + took
    return speeds, waited / looped


def _batches_in(work: Work, seconds: float) -> int:
    """Return how many batches take about so long, and at least two."""
    work(1)  # which may take longer than those after it
    number = 2
    while True:
        started = time.perf_counter()
        work(number)
        took = time.perf_counter() - started
        if took > seconds / 4:
            return max(math.ceil(number * seconds / took), 2)
        number *= 2


def _loop(experiment: Experiment, state: TrainState, batches: Timed, progress: Progress) -> Work:
    """Return training as it is, with its meters and progress bar."""
    settings = experiment.config.train

    def train(number: int) -> int:
        before = state.meter.num_images
        shown = progress(islice(batches, number), number, "loop")
        train_one_epoch(state, shown, Watch(settings.log_every), settings.accumulate)
        return state.meter.num_images - before

    return train


def _limit(experiment: Experiment, state: TrainState, batch: Batch, layout: MemoryFormat) -> Work:
    """Return forward, backward and step of a copy of the network on one batch, in a layout; its weights stay."""
    model = copy.deepcopy(state.model).to(memory_format=FORMATS[layout]).train()
    criterion = copy.deepcopy(state.criterion)
    images = batch.images.contiguous(memory_format=FORMATS[layout])
    optimizer = experiment.build_optimizer(model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0

    def step(number: int) -> int:
        for _ in range(number):
            with state.runtime.autocast():
                loss = criterion(model(images), batch.targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        loss.item()  # waits for the device
        return number * len(images)

    return step


def _evaluation(state: TrainState, in_order: Iterator[Batch]) -> Work:
    """Return evaluation as it is."""

    def score(number: int) -> int:
        batches = islice(in_order, number)
        return evaluate(state.evaluated_model, state.criterion, batches, state.runtime).num_images

    return score


def _inference(state: TrainState, batch: Batch) -> Work:
    """Return the network's outputs on one batch, and nothing of them."""

    @torch.inference_mode()
    def infer(number: int) -> int:
        state.evaluated_model.eval()
        for _ in range(number):
            with state.runtime.autocast():
                logits = state.evaluated_model(batch.images)
        logits.sum().item()  # waits for the device
        return number * len(batch.images)

    return infer


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def verdict(figures: Figures, workers: int, cores: int) -> str:
    """Say in a sentence where the time goes, and what to set where that would help."""
    if figures.of_limit >= AT_THE_LIMIT:
        said = f"{figures.of_limit:.0%} of the limit"
    elif figures.waiting < (1 - figures.of_limit) / 2:
        said = f"{figures.of_limit:.0%} of the limit: the rest goes to what is done beside each step"
    elif not figures.streams:
        said = f"{figures.of_limit:.0%} of the limit: {figures.waiting:.0%} of the time makes batches and augments them"
    else:
        said = f"{figures.waiting:.0%} of the time waits for decoding: {_remedy(figures, workers, cores)}"
    if figures.gain > WORTH_SAYING:
        said += f"; {figures.gain:.1f} times as fast with runtime.memory_format: {figures.best_layout}"
    return said


def _remedy(figures: Figures, workers: int, cores: int) -> str:
    """Return what has pictures decoded sooner: as many workers as it takes, if there are processors for them."""
    limit, loader = (statistics.median(speeds) for speeds in (figures.limits[figures.best_layout], figures.loader))
    wanted = math.ceil(max(workers, 1) * limit / loader)
    more = min(wanted, cores)
    return f"raise data.workers to {more} or set data.cache" if more > workers else "set data.cache: disk or memory"
