"""What can be minimised, by name."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.registry import LOSSES


@LOSSES.register
def cross_entropy(
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="share of the target spread over all classes")
    ] = 0.0,
) -> nn.Module:
    """Cross entropy of softmax probabilities."""
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


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
