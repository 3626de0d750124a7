"""LeNet-5 as it is trained today."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from cnncli.models import Channels, NumClasses, Side, flat_width
from cnncli.registry import MODELS

POOLS: dict[str, type[nn.MaxPool2d | nn.AvgPool2d]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


@MODELS.register
class LeNet5(nn.Module):
    """LeNet-5 as trained today: ReLU and max pooling; 61,706 parameters with 10 classes.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 1998. The sizes beside
    the layers are those of 28×28 images with padding 2, in parentheses those with padding 0.
    """

    num_parameters = 61_706  # at the defaults

    def __init__(
        self,
        num_classes: NumClasses = 10,
        in_channels: Channels = 1,
        image_size: Side = 28,
        padding: Annotated[Literal[0, 2], Field(description="zeros around the image, in pixels")] = 2,
        pool: Annotated[Literal["max", "avg"], Field(description="how four values become one")] = "max",
        activation: Annotated[Literal["relu", "tanh"], Field(description="after every layer but the last")] = "relu",
    ) -> None:
        super().__init__()
        pooling, squash = POOLS[pool], ACTIVATIONS[activation]
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, kernel_size=5, padding=padding),  # C1: 28 -> 28 (24)
            squash(),
            pooling(2),  # S2: 14 (12)
            nn.Conv2d(6, 16, kernel_size=5),  # C3: 10 (8)
            squash(),
            pooling(2),  # S4: 5 (4)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(flat_width(self.features, in_channels, image_size), 120),  # C5: 400 (256) -> 120
            squash(),
            nn.Linear(120, 84),  # F6
            squash(),
            nn.Linear(84, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, num_classes]."""
        logits: Tensor = self.classifier(self.features(images))
        return logits
