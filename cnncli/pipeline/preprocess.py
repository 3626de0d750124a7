"""From pixels to what a network sees. It belongs to the checkpoint: every command uses the same."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cnncli.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {1: "L", 3: "RGB"}  # Pillow's names of grey and colour, by channels


@dataclass(frozen=True)
class Preprocess:
    """Square images of ``size`` pixels a side, then ``(pixel / 255 - mean) / std`` for each channel."""

    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalise(self, images: Tensor) -> Tensor:
        """Map uint8 [B, C, H, W] to float32, to the bits of torchvision's convert_image_dtype and normalize."""
        mean, std = (  # copied without waiting for the device
            torch.tensor(values).view(-1, 1, 1).to(images.device, non_blocking=True) for values in (self.mean, self.std)
        )
        return images.float().div_(255).sub_(mean).div_(std)

    def pixels(self, image: "Image | Path | str") -> Tensor:
        """Return uint8 [C, H, W] of a picture of any size, squashed to the square; ``DataError`` if it is none."""
        from PIL import Image

        if self.channels not in MODES:
            raise DataError(f"a picture has 1 or 3 channels, this network wants {self.channels}")
        if isinstance(image, Path | str):
            try:
                with Image.open(image) as file:
                    return self.pixels(file)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # of Pillow's readers
                raise DataError(f"{image}: not a picture that can be read: {error}") from None
        scaled = image.convert(MODES[self.channels]).resize((self.size, self.size), Image.Resampling.BILINEAR)
        array = np.array(scaled, dtype=np.uint8)
        return torch.from_numpy(array).view(self.size, self.size, self.channels).permute(2, 0, 1)

    def __call__(self, image: "Image | Path | str") -> Tensor:
        """Map a picture, or the path of one, to what the network sees: float32 [1, C, H, W]."""
        return self.normalise(self.pixels(image)[None])

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, as a checkpoint holds them."""
        return {"size": self.size, "channels": self.channels, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Preprocess":
        """Take back what :meth:`to_dict` returned."""
        return cls(plain["size"], plain["channels"], tuple(plain["mean"]), tuple(plain["std"]))
