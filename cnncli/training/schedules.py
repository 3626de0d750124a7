"""How the learning rate changes over a run, by name: each gives the factor of the peak at a step."""

import math
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from cnncli.registry import SCHEDULES

Final = Annotated[float, Field(ge=0, le=1, description="factor of the peak at the end")]
Gamma = Annotated[float, Field(gt=0, lt=1, description="factor of each reduction")]


class Schedule:
    """A learning rate as factors of its peak: a pure function of the step, after a linear warm-up."""

    def __init__(self, shape: Callable[[int], float]) -> None:
        self.shape = shape
        self.warmup_steps = 0

    def factor(self, step: int) -> float:
        """Return the factor for the update that follows ``step`` updates."""
        if step < self.warmup_steps:
            return self.shape(step) * (step + 1) / self.warmup_steps
        return self.shape(step)

    def observe(self, loss: float) -> None:
        """Take note of an epoch's validation loss; only a plateau cares."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the step alone does not tell."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned."""


@SCHEDULES.register
def constant(total_steps: int, steps_per_epoch: int) -> Schedule:
    """The peak throughout."""
    return Schedule(lambda step: 1.0)


@SCHEDULES.register
def step(
    total_steps: int,
    steps_per_epoch: int,
    every_epochs: Annotated[int, Field(ge=1, description="epochs between two reductions")] = 30,
    gamma: Gamma = 0.1,
) -> Schedule:
    """A reduction every so many epochs."""
    return Schedule(lambda step: gamma ** (step // (every_epochs * steps_per_epoch)))


@SCHEDULES.register
def cosine(total_steps: int, steps_per_epoch: int, final: Final = 0.0) -> Schedule:
    """Half a cosine from the peak down to ``final`` (Loshchilov and Hutter 2017, without restarts)."""
    return Schedule(lambda step: final + (1 - final) * (1 + math.cos(math.pi * min(step / total_steps, 1))) / 2)


@SCHEDULES.register
def onecycle(
    total_steps: int,
    steps_per_epoch: int,
    rise: Annotated[float, Field(gt=0, lt=1, description="share of the steps in which it rises to the peak")] = 0.3,
    start: Annotated[float, Field(gt=0, le=1, description="factor of the peak at the first step")] = 0.04,
    final: Final = 4e-6,
) -> Schedule:
    """Half a cosine up, half a cosine down (Smith and Topin 2018); the momentum stays."""
    top = max(rise * total_steps - 1, 0.0)  # the step at the peak, as torch.optim.lr_scheduler.OneCycleLR counts it

    def shape(step: int) -> float:
        if step <= top:
            low, way = start, 1 - step / top if top else 0.0
        else:
            low, way = final, min((step - top) / max(total_steps - 1 - top, 1), 1.0)
        return low + (1 - low) * (1 + math.cos(math.pi * way)) / 2

    return Schedule(shape)


class Plateau(Schedule):
    """Reductions whenever the validation loss has stopped falling."""

    def __init__(self, gamma: float, patience: int) -> None:
        super().__init__(lambda step: self.scale)
        self.gamma, self.patience = gamma, patience
        self.scale, self.best, self.num_bad_epochs = 1.0, math.inf, 0

    def observe(self, loss: float) -> None:
        """Count epochs that are no better than the best by 0.01 %; reduce after more than ``patience`` of them."""
        if loss < self.best * (1 - 1e-4):
            self.best, self.num_bad_epochs = loss, 0
        else:
            self.num_bad_epochs += 1
        if self.num_bad_epochs > self.patience:
            self.scale, self.num_bad_epochs = self.scale * self.gamma, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the scale reached, the best loss and the epochs since."""
        return {"scale": self.scale, "best": self.best, "num_bad_epochs": self.num_bad_epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned."""
        self.scale, self.best, self.num_bad_epochs = state["scale"], state["best"], state["num_bad_epochs"]


@SCHEDULES.register
def plateau(
    total_steps: int,
    steps_per_epoch: int,
    gamma: Gamma = 0.1,
    patience: Annotated[int, Field(ge=0, description="epochs without a better loss that are put up with")] = 10,
) -> Schedule:
    """A reduction when the validation loss has not fallen for more than ``patience`` epochs."""
    return Plateau(gamma, patience)
