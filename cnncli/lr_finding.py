"""The learning rate range test of Smith, "Cyclical learning rates for training neural networks", 2015."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain, count, takewhile

import numpy as np

from cnncli.errors import DivergedError
from cnncli.experiment import Experiment
from cnncli.pipeline import Batch
from cnncli.training.loop import StepRecord, Watch, train_one_epoch
from cnncli.training.schedules import Schedule

BETA = 0.8  # of the running mean of the losses: of about five updates, so that it lags little behind
DIVERGED = 4.0  # times the lowest smoothed loss: beyond that nothing more is learnt of the range
LEAST_FALL = 0.05  # of the smoothed loss at the start: a fall that is smaller may be the batches'
MOST = 1 / 3  # of the rate of the lowest loss: where that is the steepest place, too, the fall ended in a leap
SETTLING = 0.1  # share of the steps at the start whose smoothed loss is the mean of too few to have a slope

Progress = Callable[[Iterable[Batch], int, str], Iterable[Batch]]


@dataclass
class LossCurve:
    """The loss of each update of a range test: ``lrs``, ``losses`` and their running means ``smoothed``, as many."""

    lrs: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)

    def add(self, lr: float, loss: float) -> None:
        """Add an update; the running mean decays by ``BETA`` an update and is corrected for its start from zero."""
        before = self.smoothed[-1] * (1 - BETA ** len(self.losses)) if self.losses else 0.0
        self.lrs.append(lr)
        self.losses.append(loss)
        self.smoothed.append((BETA * before + (1 - BETA) * loss) / (1 - BETA ** len(self.losses)))

    @property
    def has_diverged(self) -> bool:
        """Whether the smoothed loss is beyond ``DIVERGED`` times its lowest, or no number."""
        return bool(self.smoothed) and not self.smoothed[-1] <= DIVERGED * min(self.smoothed)

    @property
    def lowest(self) -> int:
        """The update of the lowest smoothed loss, once that has settled."""
        return self._settled + int(np.argmin(self.smoothed[self._settled :]))

    @property
    def suggestion(self) -> float | None:
        """The learning rate where the smoothed loss falls most steeply over log lr; ``None`` if it hardly fell.

        It is at most ``MOST`` times that of the lowest. Only a fall below all before counts: the recovery from a leap
        upwards is steep as well.
        """
        settled, end = self._settled, self.lowest + 1
        if self.smoothed[end - 1] >= (1 - LEAST_FALL) * self.smoothed[settled]:
            return None
        slopes = np.gradient(np.minimum.accumulate(self.smoothed[settled:end]), np.log(self.lrs[settled:end]))
        return min(self.lrs[settled + int(np.argmin(slopes))], MOST * self.lrs[end - 1])

    @property
    def _settled(self) -> int:
        return int(SETTLING * len(self.smoothed))


def find_lr(experiment: Experiment, low: float, high: float, num_steps: int, progress: Progress) -> LossCurve:
    """Train new weights while the learning rate rises exponentially over ``num_steps`` updates; return the losses.

    The batches are those of the run that the experiment stands for, of as many epochs as it takes. Ends early where
    the loss diverges, which is what large rates are tried for; raises ``DivergedError`` only where it never was finite.
    """
    loader, curve = experiment.train_loader(), LossCurve()
    with experiment.runtime.guard(loader.recipe.batch_size):
        state = experiment.build_state(loader)
        peak = state.optimizer.param_groups[0]["lr"]
        state.schedule = Schedule(lambda step: low / peak * (high / low) ** (step / (num_steps - 1)))

        def note(record: StepRecord) -> None:
            if state.steps - state.overflows > len(curve.losses):  # else fp16 skipped the update
                curve.add(record.lr, record.loss)

        def goes_on(batch: Batch) -> bool:
            return len(curve.losses) < num_steps and not curve.has_diverged

        batches = takewhile(goes_on, chain.from_iterable(map(loader.epoch, count())))
        shown = progress(batches, num_steps, "range test")
        try:
            train_one_epoch(state, shown, Watch(log_every=1, log=note), experiment.config.train.accumulate)
        except DivergedError:
            if not curve.losses:
                raise
    return curve
