"""AlexNet, in one tower or in the two of the paper."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from cnncli.models import Channels, NumClasses, Side, flat_width
from cnncli.registry import MODELS

Layers = list[nn.Conv2d | nn.Linear]


def initialise_for_relu(layers: Layers) -> None:
    """Draw weights from N(0, 2 / fan_in), so that a ReLU makes no signal fainter (He et al. 2015); biases are 0."""
    for layer in layers:
        assert layer.bias is not None
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


def initialise_as_in_paper(layers: Layers) -> None:
    """Draw weights from N(0, 0.01²); biases are 1 in convolutions 2, 4, 5 and the hidden dense layers, else 0."""
    biases = [0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    for layer, value in zip(layers, biases, strict=True):
        assert layer.bias is not None
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.constant_(layer.bias, value)


@MODELS.register
class AlexNet(nn.Module):
    """AlexNet for 227×227 images; 62,378,344 parameters in one tower, 60,965,224 with the paper's two groups.

    Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012.
    ``groups: 2, lrn: true, init: paper`` is the network of the paper, whose two GPUs are the two groups.
    """

    num_parameters = 62_378_344  # at the defaults

    def __init__(
        self,
        num_classes: NumClasses = 1000,
        in_channels: Channels = 3,
        image_size: Side = 227,
        groups: Annotated[Literal[1, 2], Field(description="groups of convolutions 2, 4 and 5")] = 1,
        lrn: Annotated[bool, Field(description="local response normalisation after the ReLU of 1 and 2")] = False,
        dropout: Annotated[float, Field(ge=0, lt=1, description="share of dense inputs dropped in training")] = 0.5,
        init: Annotated[
            Literal["default", "kaiming", "paper"],
            Field(description="first weights: PyTorch's, He's for ReLU (learns from few images), or the paper's"),
        ] = "default",
    ) -> None:
        super().__init__()

        def normalise() -> list[nn.Module]:  # torch divides alpha by n: 5e-4 there is the paper's 1e-4
            return [nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)] if lrn else []

        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),  # 227 -> 55
            nn.ReLU(),
            *normalise(),
            nn.MaxPool2d(3, stride=2),  # 27
            nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=groups),  # 27
            nn.ReLU(),
            *normalise(),
            nn.MaxPool2d(3, stride=2),  # 13
            nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 13
            nn.ReLU(),
            nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=groups),  # 13
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=groups),  # 13
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # 6
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(flat_width(self.features, in_channels, image_size), 4096),  # 9216 -> 4096
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        if init == "kaiming":
            initialise_for_relu(layers)
        elif init == "paper":
            initialise_as_in_paper(layers)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, num_classes]."""
        logits: Tensor = self.classifier(self.features(images))
        return logits
