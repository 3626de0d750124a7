"""What can be minimised, by name."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.registry import LOSSES


class CrossEntropy(nn.CrossEntropyLoss):
    """Cross entropy whose class weights count in training alone: scores of runs with and without compare."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over the batch for logits [B, num_classes] and labels [B] or shares [B, num_classes]."""
        weight = self.weight if self.training else None
        return F.cross_entropy(logits, targets, weight, label_smoothing=self.label_smoothing)


@LOSSES.register
def cross_entropy(
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="share of the target spread over all classes")
    ] = 0.0,
    class_weights: Annotated[
        Literal["none", "balanced"],
        Field(description="balanced: in training an image counts in inverse proportion to the size of its class"),
    ] = "none",
    class_counts: Tensor | None = None,
) -> nn.Module:
    """Cross entropy of softmax probabilities.

    ``class_counts`` int64 [num_classes], of the images to train on, balance the weights: N / (classes · n), as in
    scikit-learn's ``compute_class_weight``. Without them no image is weighted.
    """
    weight = None
    if class_weights == "balanced" and class_counts is not None:
        weight = class_counts.sum() / (len(class_counts) * class_counts.clamp(min=1).float())
    return CrossEntropy(weight, label_smoothing=label_smoothing)


def weight_of(criterion: nn.Module, targets: Tensor) -> Tensor | float:
    """Return what ``criterion`` divides by for the mean of a batch: the number of images, or their weights."""
    weight = getattr(criterion, "weight", None)
    if weight is None or not criterion.training or targets.is_floating_point():
        return float(len(targets))
    total: Tensor = weight[targets].sum()
    return total


class RBFMapLoss(nn.Module):
    """Maximum a posteriori criterion over −distances; see :func:`rbf_map`."""

    def __init__(self, rubbish: float) -> None:
        super().__init__()
        self.rubbish = rubbish

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the batch for logits [B, num_classes] and labels [B]."""
        rubbish = logits.new_full((len(logits), 1), -self.rubbish)
        return F.cross_entropy(torch.cat([logits, rubbish], dim=1), labels)


@LOSSES.register
def rbf_map(
    rubbish: Annotated[float, Field(gt=0, le=1000, description="distance² of a class that no image belongs to")] = 10.0,
) -> nn.Module:
    """LeNet-5's criterion of 1998: distance² to the right code, plus log(e^−j + Σ e^−distance²).

    Equation 9 of LeCun et al. 1998, where j is ``rubbish``. With logits −distance² it is the cross entropy with one
    more class, whose logit is −j: it keeps distances that are large already from growing further.
    """
    return RBFMapLoss(rubbish)
