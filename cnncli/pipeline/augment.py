"""What happens to training images: on the whole batch, on the device, each image with its own draws."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Padding = Literal["zeros", "edge", "reflect"]
MODES = {"edge": "replicate", "reflect": "reflect"}


@dataclass(frozen=True)
class Augment:
    """Shift by up to ``shift`` pixels either way, and mirror left to right; see the config section of that name."""

    shift: int = 0
    padding: Padding = "zeros"
    flip: bool = False

    num_draws: ClassVar[int] = 3  # down, right, flip

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Change images uint8 [B, C, H, W] as their rows of ``draws`` [B, num_draws] say."""
        if self.shift:
            images = self._shifted(images, draws[:, :2])
        if self.flip:
            images = torch.where(draws[:, 2, None, None, None] < 0.5, images.flip(3), images)
        return images

    def _shifted(self, images: Tensor, draws: Tensor) -> Tensor:
        """Pad by ``shift`` and cut each image out again where its draws say."""
        height, width = images.shape[2:]
        windows = self._padded(images).unfold(2, height, 1).unfold(3, width, 1)  # [B, C, places, places, H, W]
        down, right = (draws * (2 * self.shift + 1)).long().unbind(1)
        return windows[torch.arange(len(images), device=images.device), :, down, right]

    def _padded(self, images: Tensor) -> Tensor:
        around = (self.shift,) * 4
        if self.padding == "zeros":
            return F.pad(images, around)
        return F.pad(images.float(), around, mode=MODES[self.padding]).byte()  # these modes have no uint8 kernel
