"""Means over an epoch, kept on the device until they are asked for."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cnncli.errors import DataError
from cnncli.runtime import Runtime


@dataclass(frozen=True)
class Metrics:
    """Means over ``num_images``; accuracies are shares from 0 to 1, top-5 is ``None`` with under six classes.

    ``num_skipped`` files were broken and are left out.
    """

    loss: float
    accuracy: float
    top5_accuracy: float | None
    num_images: int
    num_skipped: int


class Meter:
    """Sums of loss and right answers; ``update`` never waits for the device, ``compute`` does, and for all ranks."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        # float64 keeps sums of millions exact enough; MPS has none.
        exact = torch.float32 if runtime.device.type == "mps" else torch.float64
        self.losses = torch.zeros(2, dtype=exact, device=runtime.device)  # their sum, and that of their weights
        self.hits = torch.zeros(2, dtype=torch.int64, device=runtime.device)  # first, and among the first five
        self.num_images = 0
        self.num_ranked = 0  # of which the first five were looked at
        self.num_skipped = 0

    def update(self, loss: Tensor, weight: Tensor | float, logits: Tensor, labels: Tensor) -> None:
        """Take in the mean ``loss`` [] of a batch and what it was divided by, logits [B, num_classes], labels [B]."""
        self.losses[0] += loss * weight
        self.losses[1] += weight
        self.hits[0] += (logits.argmax(1) == labels).sum()
        self.num_images += len(labels)

    def update_top5(self, logits: Tensor, labels: Tensor) -> None:
        """Count how often the right class is among the five likeliest; costs a sort, so only evaluation does it."""
        if logits.shape[1] > 5:
            self.hits[1] += (logits.topk(5, dim=1).indices == labels[:, None]).sum()
            self.num_ranked += len(labels)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of this rank."""
        counts = {"num_images": self.num_images, "num_ranked": self.num_ranked, "num_skipped": self.num_skipped}
        return {"losses": self.losses.cpu(), "hits": self.hits.cpu(), **counts}

    def add(self, state: dict[str, Any]) -> None:
        """Add the sums that :meth:`state_dict` returned."""
        self.losses += state["losses"].to(self.losses)
        self.hits += state["hits"].to(self.hits)
        self.num_images += state["num_images"]
        self.num_ranked += state["num_ranked"]
        self.num_skipped += state["num_skipped"]

    def compute(self) -> Metrics:
        """Return the means over the images of all ranks so far; ``DataError`` if there were none."""
        counts = torch.cat([self.hits, self.hits.new_tensor([self.num_images, self.num_ranked, self.num_skipped])])
        correct, among_five, num_images, num_ranked, num_skipped = self.runtime.sum_of(counts).tolist()
        loss, weight = self.runtime.sum_of(self.losses).tolist()
        if not num_images:
            raise DataError("none of the images that were looked at can be read")
        top5 = among_five / num_ranked if num_ranked else None
        return Metrics(loss / weight, correct / num_images, top5, num_images, num_skipped)
