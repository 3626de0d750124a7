"""The two-convolution network of many first tutorials."""

from torch import Tensor, nn

from cnncli.models import Channels, NumClasses, Side, flat_width
from cnncli.registry import MODELS


@MODELS.register
class BasicCNN(nn.Module):
    """Two convolutions and one dense layer, as in many first tutorials; 8,490 parameters with 10 classes."""

    num_parameters = 8_490  # at the defaults

    def __init__(self, num_classes: NumClasses = 10, in_channels: Channels = 1, image_size: Side = 28) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 10, kernel_size=5),  # 28 -> 24
            nn.MaxPool2d(2),  # 12
            nn.ReLU(),
            nn.Conv2d(10, 20, kernel_size=5),  # 8
            nn.MaxPool2d(2),  # 4
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(flat_width(self.features, in_channels, image_size), num_classes),  # 320 -> 10
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, num_classes]."""
        logits: Tensor = self.classifier(self.features(images))
        return logits
