"""Means over an epoch, kept on the device until they are asked for."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Metrics:
    """Means over ``num_images``; accuracies are shares from 0 to 1, top-5 is ``None`` with under six classes."""

    loss: float
    accuracy: float
    top5_accuracy: float | None
    num_images: int


class Meter:
    """Sums of loss and right answers; ``update`` never waits for the device, ``compute`` does."""

    def __init__(self, device: torch.device) -> None:
        # float64 keeps sums of millions exact enough; MPS has none.
        exact = torch.float32 if device.type == "mps" else torch.float64
        self.loss = torch.zeros((), dtype=exact, device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.among_five: Tensor | None = None
        self.num_images = 0

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Take in the mean ``loss`` [] of a batch, with logits [B, num_classes] and labels [B]."""
        self.loss += loss * len(labels)
        self.correct += (logits.argmax(1) == labels).sum()
        self.num_images += len(labels)

    def update_top5(self, logits: Tensor, labels: Tensor) -> None:
        """Count how often the right class is among the five likeliest; costs a sort, so only evaluation does it."""
        if logits.shape[1] > 5:
            hits = (logits.topk(5, dim=1).indices == labels[:, None]).sum()
            self.among_five = hits if self.among_five is None else self.among_five + hits

    def compute(self) -> Metrics:
        """Return the means so far; waits for the device."""
        count = max(self.num_images, 1)
        top5 = None if self.among_five is None else self.among_five.item() / count
        return Metrics(self.loss.item() / count, self.correct.item() / count, top5, self.num_images)
