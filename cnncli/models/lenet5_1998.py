"""LeNet-5 as the paper of 1998 has it."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.models import Channels, Side, flat_width
from cnncli.registry import MODELS

# Table I of the paper: the maps of S2 that each map of C3 sees. 6·3 + 9·4 + 1·6 = 60 connections.
C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# What F6 should say for each digit: drawings of 7×12 pixels, after figure 3 of the paper.
DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...#...  .#####.  .#####.  ....##.  #######  ..####.  #######  .#####.  .#####.
.#...#.  ..##...  #.....#  #.....#  ...#.#.  #......  .#.....  ......#  #.....#  #.....#
#.....#  .#.#...  ......#  ......#  ..#..#.  #......  #......  .....#.  #.....#  #.....#
#.....#  ...#...  ......#  ......#  .#...#.  #......  #......  .....#.  #.....#  #.....#
#.....#  ...#...  .....#.  ..####.  #....#.  ######.  ######.  ....#..  .#####.  .######
#.....#  ...#...  ....#..  ......#  #######  ......#  #.....#  ....#..  #.....#  ......#
#.....#  ...#...  ...#...  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
#.....#  ...#...  ..#....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
.#...#.  ...#...  .#.....  #.....#  .....#.  #.....#  #.....#  ..#....  #.....#  .....#.
..###..  .#####.  #######  .#####.  .....#.  .#####.  .#####.  ..#....  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def digit_codes() -> Tensor:
    """Return the drawings as codes of ±1, [10, 84]."""
    rows = [line.split() for line in DIGITS.split("\n") if line]
    return torch.tensor(
        [[1.0 if pixel == "#" else -1.0 for row in rows for pixel in row[digit]] for digit in range(10)]
    )


def initialise(weight: Tensor, bias: Tensor, fan_in: int) -> None:
    """Draw uniformly from ±2.4 / ``fan_in``, as in appendix A of the paper."""
    nn.init.uniform_(weight, -2.4 / fan_in, 2.4 / fan_in)
    nn.init.uniform_(bias, -2.4 / fan_in, 2.4 / fan_in)


class ScaledTanh(nn.Module):
    """1.7159 tanh(2/3 x): ±1 are mapped to themselves, where the curve bends most."""

    def forward(self, values: Tensor) -> Tensor:
        """Map values of any shape."""
        return 1.7159 * torch.tanh(values * (2 / 3))


class Subsampling(nn.Module):
    """The sum of each 2×2 square, times one trainable coefficient and plus one bias a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernel_size = self.stride = 2
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        initialise(self.weight, self.bias, fan_in=4)

    def forward(self, maps: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, H/2, W/2]."""
        sums = F.avg_pool2d(maps, 2) * 4
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


class TableConv2d(nn.Module):
    """A convolution whose maps each see the input maps that a table lists; only those kernels are stored."""

    def __init__(self, table: tuple[tuple[int, ...], ...], in_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, len(table)
        self.kernel_size, self.stride = kernel_size, 1
        places = [out * in_channels + source for out, sources in enumerate(table) for source in sources]
        self.places: Tensor
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(places), kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(len(table)))
        first = 0
        for out, sources in enumerate(table):
            kernels = slice(first, first := first + len(sources))
            initialise(self.weight[kernels], self.bias[out], fan_in=len(sources) * kernel_size**2)

    def forward(self, maps: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, len(table), H - k + 1, W - k + 1]."""
        k = self.kernel_size
        dense = self.weight.new_zeros(self.out_channels * self.in_channels, k, k)
        dense = dense.index_copy(0, self.places, self.weight)
        return F.conv2d(maps, dense.view(self.out_channels, self.in_channels, k, k), self.bias)


class RBF(nn.Module):
    """Euclidean radial basis functions around fixed codes: the less, the likelier the class."""

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(codes, requires_grad=False)

    def forward(self, values: Tensor) -> Tensor:
        """Map values [B, 84] to negated squared distances [B, num_classes], so that the largest one wins."""
        return -(values[:, None, :] - self.weight).square().sum(dim=2)


@MODELS.register
class LeNet5Of1998(nn.Module):
    """LeNet-5 of the paper: C3's table, trainable subsampling, scaled tanh, RBF output; 60,000 trainable parameters.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 1998, section II.B.
    Its outputs are −distance², of which softmax makes probabilities; the loss to train with is ``rbf_map``.
    """

    num_parameters = 60_000  # trainable ones, at the defaults
    losses = ("rbf_map",)

    def __init__(
        self,
        num_classes: Annotated[int, Field(ge=1, le=10, description="classes told apart; one drawing each")] = 10,
        in_channels: Channels = 1,
        image_size: Side = 28,
        background: Annotated[float, Field(ge=-100, le=100, description="value of the 2 pixels put around")] = -0.1,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.ConstantPad2d(2, background),  # 28 -> 32
            nn.Conv2d(in_channels, 6, kernel_size=5),  # C1: 28
            ScaledTanh(),
            Subsampling(6),  # S2: 14
            ScaledTanh(),
            TableConv2d(C3_TABLE, 6, kernel_size=5),  # C3: 10
            ScaledTanh(),
            Subsampling(16),  # S4: 5
            ScaledTanh(),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(flat_width(self.features, in_channels, image_size), 120),  # C5: a 5×5 kernel on a 5×5 map
            ScaledTanh(),
            nn.Linear(120, 84),  # F6
            ScaledTanh(),
            RBF(digit_codes()[:num_classes]),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                assert layer.bias is not None
                initialise(layer.weight, layer.bias, fan_in=layer.weight[0].numel())

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to −distance² [B, num_classes], which serve as logits."""
        logits: Tensor = self.classifier(self.features(images))
        return logits
