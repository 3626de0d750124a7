"""Means over an epoch, kept on the device until they are asked for."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cnncli.errors import DataError
from cnncli.runtime import Runtime

BATCHES_AT_ONCE = 16  # whose hits are counted together: few logits take as long as many


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
    """Sums of loss and right answers; ``update`` never waits for the device, ``compute`` does, and for all ranks.

    The first five of each image's classes cost a sort, so that only evaluation looks at them: ``five``.
    """

    def __init__(self, runtime: Runtime, five: bool = False) -> None:
        self.runtime, self.five = runtime, five
        # float64 keeps sums of millions exact enough; MPS has none.
        exact = torch.float32 if runtime.device.type == "mps" else torch.float64
        self.loss = torch.zeros((), dtype=exact, device=runtime.device)  # the sum of losses times their weights
        self.weight: Tensor | float = 0.0  # the sum of those
        self.correct = torch.zeros((), dtype=torch.int64, device=runtime.device)
        self.among_five = torch.zeros_like(self.correct)
        self._unseen: list[tuple[Tensor, Tensor]] = []  # logits and labels whose hits are not counted yet
        self.num_images = 0
        self.num_ranked = 0  # of which the first five were looked at
        self.num_skipped = 0

    def update(self, loss: Tensor, weight: Tensor | float, logits: Tensor, labels: Tensor) -> None:
        """Take in the mean ``loss`` [] of a batch and what it was divided by, logits [B, num_classes], labels [B]."""
        if isinstance(weight, Tensor):
            weight = weight.to(self.loss)
            self.loss += loss * weight
        else:
            self.loss.add_(loss, alpha=weight)  # one operation, where each counts: small networks take 6 ms a step
        self.weight += weight
        self._unseen.append((logits, labels))
        if len(self._unseen) == BATCHES_AT_ONCE:
            self._count()
        self.num_images += len(labels)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of this rank."""
        self._count()
        counts = {"num_images": self.num_images, "num_ranked": self.num_ranked, "num_skipped": self.num_skipped}
        return {"losses": self._losses().cpu(), "hits": self._hits().cpu(), **counts}

    def add(self, state: dict[str, Any]) -> None:
        """Add the sums that :meth:`state_dict` returned."""
        loss, weight = state["losses"].tolist()
        correct, among_five = state["hits"].tolist()
        self.loss += loss
        self.weight += weight
        self.correct += correct
        self.among_five += among_five
        self.num_images += state["num_images"]
        self.num_ranked += state["num_ranked"]
        self.num_skipped += state["num_skipped"]

    def compute(self) -> Metrics:
        """Return the means over the images of all ranks so far; ``DataError`` if there were none."""
        self._count()
        hits = self._hits()
        counts = torch.cat([hits, hits.new_tensor([self.num_images, self.num_ranked, self.num_skipped])])
        correct, among_five, num_images, num_ranked, num_skipped = self.runtime.sum_of(counts).tolist()
        loss, weight = self.runtime.sum_of(self._losses()).tolist()
        if not num_images:
            raise DataError("none of the images that were looked at can be read")
        top5 = among_five / num_ranked if num_ranked else None
        return Metrics(loss / weight, correct / num_images, top5, num_images, num_skipped)

    def _count(self) -> None:
        """Count the hits of the batches that were taken in since the last count."""
        if not self._unseen:
            return
        logits, labels = map(torch.cat, zip(*self._unseen, strict=True))
        self.correct += (logits.argmax(1) == labels).sum()
        if self.five and logits.shape[1] > 5:
            self.among_five += (logits.topk(5, dim=1).indices == labels[:, None]).sum()
            self.num_ranked += len(labels)
        self._unseen = []

    def _losses(self) -> Tensor:
        return torch.stack([self.loss, torch.as_tensor(self.weight).to(self.loss)])

    def _hits(self) -> Tensor:
        return torch.stack([self.correct, self.among_five])
