"""All that moves while a network is trained, and the one step that moves it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cnncli.errors import DivergedError
from cnncli.pipeline import Batch
from cnncli.runtime import Runtime
from cnncli.training.losses import weight_of
from cnncli.training.schedules import Schedule

TINY = 1e-9  # the weight of a batch of which every file is broken


class TrainState:
    """Model, optimizer, schedule, loss scale, average of the weights, and how far they have come.

    Progress is ``epoch`` whole epochs, ``position`` images of the next one, and ``steps`` updates in all.
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
        self.epoch = self.position = self.steps = 0
        self._peaks: list[float] = [group["lr"] for group in optimizer.param_groups]
        self.loss = torch.zeros((), device=runtime.device)  # of the parts of the batch so far
        self.last_loss = self.loss  # the mean over the last batch, on all ranks
        # Once a loss or gradient is not finite this is 1, and stays so: a fused optimizer that finds it as its
        # `found_inf` changes nothing from that step on. The host need not look until it wants to.
        self._diverged = torch.zeros((), device=runtime.device)
        self._diverged_steps = torch.zeros((), device=runtime.device)
        self._skips_on_device = bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        if self._skips_on_device and not self.scaler.is_enabled():
            optimizer.found_inf = self._diverged  # type: ignore[attr-defined]

    @property
    def lr(self) -> float:
        """The learning rate of the last update, or of the first one to come."""
        return self._peaks[0] * self.schedule.factor(max(self.steps - 1, 0))

    @property
    def evaluated_model(self) -> nn.Module:
        """What is scored and exported: the average of the weights where there is one."""
        return self.ema.module if self.ema is not None else self.model

    @contextmanager
    def sharing(self, is_last: bool) -> Iterator[None]:
        """Add up gradients inside the context, and those of all ranks only with the last part of a batch."""
        with nullcontext() if is_last or self.network is self.model else self.network.no_sync():  # type: ignore[operator]
            yield

    def weigh(self, batch: Batch) -> float | Tensor:
        """Return by what the losses of a batch are divided in all: its images, or their weights, on all ranks."""
        weight = torch.as_tensor(weight_of(self.criterion, batch.targets) if batch.counts else 0.0)
        if self.runtime.world_size == 1:
            return weight.clamp(min=TINY)
        return self.runtime.sum_of(weight.to(self.runtime.device, torch.float32)).clamp(min=TINY)

    def backward(self, loss: Tensor, share: float | Tensor) -> None:
        """Add the gradients of a part's mean ``loss`` [], which is that ``share`` of the batch's mean loss."""
        part = loss * share
        self.scaler.scale(part * self.runtime.world_size).backward()  # type: ignore[no-untyped-call]  # ranks: the mean
        self.loss = self.loss + part.detach()

    def step(self) -> None:
        """Make one update from the gradients of a batch: clip, optimizer, schedule, average."""
        factor = self.schedule.factor(self.steps)
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self.steps += 1
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = get_total_norm(gradients)
        self.last_loss, self.loss = self.runtime.sum_of(self.loss), torch.zeros_like(self.loss)
        self._note_divergence(self.last_loss, norm)
        if self.clip_norm is not None:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            clip_grads_with_norm_(parameters, self.clip_norm, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update_parameters(self.model)

    def check_finite(self) -> None:
        """Raise ``DivergedError`` if a loss or gradient was NaN or infinite; waits for the device."""
        if self._diverged.item():
            step = self.steps - int(self._diverged_steps.item()) + 1
            raise DivergedError(
                f"the loss or a gradient was not finite at step {step:,} (learning rate {self.lr:.3g}); the weights"
                " are those before it. Try a lower --lr, --set train.clip_norm=1 or --set schedule.warmup_epochs=1"
            )

    def _note_divergence(self, loss: Tensor, norm: Tensor) -> None:
        # In fp16 infinite gradients are everyday: the scaler skips those steps and lowers its scale.
        finite = loss if self.scaler.is_enabled() else loss + norm
        torch.maximum(self._diverged, (~torch.isfinite(finite)).float(), out=self._diverged)
        self._diverged_steps += self._diverged
        if not self._skips_on_device:
            self.check_finite()

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as tensors, numbers and strings."""
        return {
            "progress": {"epoch": self.epoch, "position": self.position, "steps": self.steps},
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": self.runtime.random_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned."""
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.runtime.set_random_state(state["random"])
        progress = state["progress"]
        self.epoch, self.position, self.steps = progress["epoch"], progress["position"], progress["steps"]
