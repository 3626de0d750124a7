"""All that moves while a network is trained, and the one step that moves it."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cnncli.contents import check_optimizer_state
from cnncli.errors import CheckpointError, DivergedError
from cnncli.pipeline import Batch
from cnncli.runtime import Runtime
from cnncli.training.losses import weight_of
from cnncli.training.meters import Meter
from cnncli.training.schedules import Schedule

TINY = 1e-9  # the weight of a batch of which every file is broken
PROGRESS = ("epoch", "position", "steps", "overflows", "lr", "seconds")


class TrainState:
    """Model, optimizer, schedule, loss scale, average of the weights, and how far they have come.

    Progress is ``epoch`` whole epochs, ``position`` images of the next one, and ``steps`` updates in all, ``overflows``
    of which were skipped for infinite fp16 gradients. ``meter`` and ``seconds`` are of the epoch so far.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: nn.Module,
        optimizer: Optimizer,
        schedule: Schedule,
        runtime: Runtime,
        clip_norm: float | None = None,
        ema_decay: float | None = None,
    ) -> None:
        self.model, self.criterion, self.optimizer, self.schedule = model, criterion, optimizer, schedule
        self.runtime = runtime
        self.network = runtime.parallel(model)  # what is called in training
        self.clip_norm = clip_norm
        self.ema: AveragedModel | None = None
        if ema_decay is not None:
            average = get_ema_multi_avg_fn(ema_decay)  # type: ignore[no-untyped-call]  # torch states no types here
            self.ema = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision == "fp16")
        self.epoch = self.position = self.steps = self.overflows = 0
        self.meter, self.seconds = Meter(runtime), 0.0
        self._looked = time.perf_counter()  # at the clock
        self._peaks: list[float] = [group["lr"] for group in optimizer.param_groups]
        self._parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
        self.lr = self._lr_of(1)  # of the last update, or of the first one to come
        self.loss: Tensor | None = None  # of the parts of the batch so far
        self.last_loss = torch.zeros((), device=runtime.device)  # the mean over the last batch, on all ranks
        # Once a loss or gradient is not finite this is 1, and stays so: a fused optimizer that finds it as its
        # `found_inf` changes nothing from that step on. The host need not look until it wants to.
        self._diverged = torch.zeros((), device=runtime.device)
        self._diverged_steps = torch.zeros((), device=runtime.device)
        self._overflowed: Callable[[], Tensor] | None = None  # whether the last step did, once the device knows
        self._skips_on_device = bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        if self._skips_on_device and not self.scaler.is_enabled():
            optimizer.found_inf = self._diverged  # type: ignore[attr-defined]

    @property
    def evaluated_model(self) -> nn.Module:
        """What is scored and exported: the average of the weights where there is one."""
        return self.ema.module if self.ema is not None else self.model

    def sharing(self, is_last: bool) -> AbstractContextManager[None]:
        """Add up gradients inside the context, and those of all ranks only with the last part of a batch."""
        if is_last or self.network is self.model:
            return nullcontext()
        return self.network.no_sync()  # type: ignore[operator,no-any-return]

    def weigh(self, batch: Batch) -> float | Tensor:
        """Return by what the losses of a batch are divided in all: its images, or their weights, on all ranks."""
        weight = weight_of(self.criterion, batch.targets) if batch.counts else 0.0
        if self.runtime.world_size > 1:
            here = torch.as_tensor(weight, dtype=torch.float32, device=self.runtime.device)
            weight = self.runtime.sum_of(here)
        return weight.clamp(min=TINY) if isinstance(weight, Tensor) else max(weight, TINY)

    def backward(self, loss: Tensor, share: float | Tensor) -> None:
        """Add the gradients of a part's mean ``loss`` [], which is that ``share`` of the batch's mean loss."""
        part = loss if isinstance(share, float) and share == 1 else loss * share
        self.loss = part.detach() if self.loss is None else self.loss + part.detach()
        if self.scaler.is_enabled():
            part = part / (1 - self._diverged)  # infinite from the first bad step on, so that the scaler skips the rest
        if self.runtime.world_size > 1:
            part = part * self.runtime.world_size  # of the gradients of all ranks the mean is taken
        self.scaler.scale(part).backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Make one update from the gradients of a batch: clip, optimizer, schedule, average.

        An update that is skipped for infinite fp16 gradients moves no schedule.
        """
        self._count_overflow()
        factor = self.schedule.factor(self.steps - self.overflows)
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self.lr = self._peaks[0] * factor
        self.steps += 1
        self.scaler.unscale_(self.optimizer)
        norm = get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        assert self.loss is not None
        self.last_loss, self.loss = self.runtime.sum_of(self.loss), None
        self._note_divergence(self.last_loss, norm)
        if self.clip_norm is not None:
            clip_grads_with_norm_(self._parameters, self.clip_norm, norm)
        if self.scaler.is_enabled():
            self._overflowed = self.runtime.later((~torch.isfinite(norm)).float())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        self.tick()

    def tick(self, counts: bool = True) -> None:
        """Add the time since the last look at the clock to ``seconds``, or only look."""
        now = time.perf_counter()
        self.seconds += now - self._looked if counts else 0.0
        self._looked = now

    def end_epoch(self) -> None:
        """Begin the next epoch's sums."""
        self.epoch, self.position = self.epoch + 1, 0
        self.meter, self.seconds = Meter(self.runtime), 0.0

    def check_finite(self) -> None:
        """Raise ``DivergedError`` if a loss or gradient was NaN or infinite; waits for the device."""
        self._count_overflow()
        is_stuck = self.scaler.is_enabled() and self.scaler.get_scale() < 1  # halved by each overflow, of many in a row
        if is_stuck or self._diverged.item():
            steps_ago = max(int(self._diverged_steps.item()) - 1, 0)
            raise DivergedError(self.steps - steps_ago, self._lr_of(self.steps - steps_ago), steps_ago)

    def _lr_of(self, step: int) -> float:
        """Return the learning rate of an update, counted from 1."""
        return self._peaks[0] * self.schedule.factor(max(step - self.overflows - 1, 0))

    def _count_overflow(self) -> None:
        """Count the last step if it was skipped; by now the device is at work on the next one."""
        if self._overflowed is not None:
            self.overflows += int(self._overflowed())
            self._overflowed = None

    def _note_divergence(self, loss: Tensor, norm: Tensor) -> None:
        # In fp16 infinite gradients are everyday: the scaler skips those steps and lowers its scale.
        finite = loss if self.scaler.is_enabled() else loss + norm
        if self.runtime.waits_for_nothing and math.isfinite(finite.item()):
            return
        self._diverged.logical_or_(finite * 0 != 0)  # of NaN and infinity it is NaN
        self._diverged_steps += self._diverged
        if self.runtime.waits_for_nothing or not self._skips_on_device:
            self.check_finite()

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as tensors, numbers and strings; all ranks have to ask for it."""
        self._count_overflow()
        rank = {"random": self.runtime.random_state(), "meter": self.meter.state_dict()}
        return {
            "progress": {name: getattr(self, name) for name in PROGRESS},
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ranks": self.runtime.of_all(rank),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned; what is ``None`` in it begins anew.

        Momentum and the like stay those of this optimizer. With another number of ranks than before each draws anew,
        and the first has the sums of all. Raises ``CheckpointError`` where it was of another run, or of none.
        """
        try:
            self._take_back(state)
        except Exception as error:  # whatever a stranger's shapes and kinds lead to
            raise CheckpointError(f"the checkpoint's state does not fit this run: {error}") from None

    def _take_back(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        if self.ema is not None and state["ema"] is not None:
            self.ema.load_state_dict(state["ema"])
        elif self.ema is not None:
            self.ema.module.load_state_dict(state["model"])
        if state["optimizer"] is not None:
            check_optimizer_state(state["optimizer"]["state"], self._parameters)
            groups = zip(self.optimizer.state_dict()["param_groups"], state["optimizer"]["param_groups"], strict=True)
            kept = [{**group, "lr": float(before["lr"])} for group, before in groups]
            self.optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": kept})
        if state["schedule"] is not None:
            self.schedule.load_state_dict(state["schedule"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        for name in PROGRESS:
            kind = type(getattr(self, name))
            setattr(self, name, kind(state["progress"][name]))
        self._take_back_ranks(state["ranks"])
        self.tick(counts=False)

    def _take_back_ranks(self, ranks: list[dict[str, Any]]) -> None:
        runtime, mine = self.runtime, ranks if self.runtime.is_main else []
        if len(ranks) == runtime.world_size:
            mine = [ranks[runtime.rank]]
            runtime.set_random_state(mine[0]["random"])
        self.meter = Meter(runtime)
        for rank in mine:
            self.meter.add(rank["meter"])
