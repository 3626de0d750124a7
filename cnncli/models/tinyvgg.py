"""Tiny VGG, the network that CNN Explainer shows."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from cnncli.models import Channels, NumClasses, Side, flat_width
from cnncli.registry import MODELS


@MODELS.register
class TinyVGG(nn.Module):
    """Tiny VGG: two blocks of two unpadded 3×3 convolutions; 19,920 parameters with 10 classes.

    Source: Wang et al., "CNN Explainer: Learning Convolutional Neural Networks with Interactive Visualization",
    IEEE TVCG 2020.
    """

    num_parameters = 19_920  # at the defaults

    def __init__(
        self,
        num_classes: NumClasses = 10,
        in_channels: Channels = 3,
        image_size: Side = 64,
        hidden: Annotated[int, Field(ge=1, le=4096, description="channels of each convolution")] = 10,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, hidden, kernel_size=3),  # 64 -> 62
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, kernel_size=3),  # 60
            nn.ReLU(),
            nn.MaxPool2d(2),  # 30
            nn.Conv2d(hidden, hidden, kernel_size=3),  # 28
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, kernel_size=3),  # 26
            nn.ReLU(),
            nn.MaxPool2d(2),  # 13
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(flat_width(self.features, in_channels, image_size), num_classes),  # 1690 -> 10
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, num_classes]."""
        logits: Tensor = self.classifier(self.features(images))
        return logits
