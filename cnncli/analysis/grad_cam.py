"""Where in an image a network's answer comes from."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cnncli.analysis.trace import Node


def grad_cam(nodes: Sequence[Node]) -> Tensor | None:
    """Return where the answer comes from, [h, w] from 0 to 1; ``None`` where no convolution made a map.

    The maps of the last convolution, after what follows it at the same size, weighted by the mean of their gradients;
    what speaks against the answer is cut off. Source: Selvaraju et al., "Grad-CAM", ICCV 2017.
    """
    maps = [node for node in nodes if node.output.dim() == 3 and node.output[0].numel() > 1]
    if not (sizes := [node.output.shape[1:] for node in maps if hasattr(node.layer, "in_channels")]):
        return None
    last = [node for node in maps if node.output.shape[1:] == sizes[-1]][-1]
    weights = last.gradient.mean((1, 2), keepdim=True)
    cam = (weights * last.output).sum(0).relu()
    return cam / cam.max().clamp(min=torch.finfo(cam.dtype).tiny)
