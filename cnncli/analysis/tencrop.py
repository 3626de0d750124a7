"""Ten views of an image and their mean, as AlexNet was scored."""

import math

import torch
from torch import Tensor, nn


class TenCrop(nn.Module):
    """Averages a network's probabilities over the four corners and the middle of an image, and their mirror images.

    Krizhevsky et al. 2012, section 4.1.
    """

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__()
        self.model, self.size = model, size

    def forward(self, canvases: Tensor) -> Tensor:
        """Map canvases [B, C, S, S] to logarithms of the mean probabilities [B, num_classes]."""
        views = ten_views(canvases, self.size)
        logarithms = torch.stack([self.model(view).float().log_softmax(1) for view in views])
        return logarithms.logsumexp(0) - math.log(len(views))  # finite where probabilities are too small for a float


def ten_views(canvases: Tensor, size: int) -> list[Tensor]:
    """Return five crops [B, C, size, size] of canvases, then their mirror images."""
    far = canvases.shape[-1] - size
    places = [(0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2)]
    crops = [canvases[..., top : top + size, left : left + size] for top, left in places]
    return crops + [crop.flip(-1) for crop in crops]
