"""A network for tests of the loop: small, with everything that has a state of its own."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn


class TestNet(nn.Module):
    """One convolution, batch normalisation, dropout, one dense layer."""

    __test__ = False  # no test, whatever pytest makes of its name
    num_parameters = 4 * 9 + 4 + 8 + 4 * 25 * 4 + 4

    def __init__(
        self,
        num_classes: Annotated[int, Field(ge=1)] = 4,
        in_channels: Annotated[int, Field(ge=1)] = 1,
        image_size: Annotated[int, Field(ge=4)] = 12,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3,
    ) -> None:
        super().__init__()
        side = (image_size - 2) // 2
        self.features = nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(4 * side * side, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
