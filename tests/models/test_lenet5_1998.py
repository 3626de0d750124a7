"""LeNet-5 of 1998 against its paper, written out in loops."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cnncli.models.lenet5_1998 import LeNet5Of1998, ScaledTanh, digit_codes
from tests.models.maps import maps, on_meta

# Table I of LeCun et al. 1998, read column by column: which maps of S2 (rows) each map of C3 (columns) combines.
TABLE_I = """
X . . . X X X . . X X X X . X X
X X . . . X X X . . X X X X . X
X X X . . . X X X . . X . X X X
. X X X . . X X X X . . X . X X
. . X X X . . X X X X . X X . X
. . . X X X . . X X X X . X X X
"""


def squash(x: Tensor) -> Tensor:
    return 1.7159 * torch.tanh(2 / 3 * x)


def test_it_equals_the_paper_written_out() -> None:
    torch.manual_seed(0)
    model = LeNet5Of1998()
    p = dict(model.named_parameters())
    images = torch.randn(2, 1, 28, 28)
    x = F.pad(images, (2, 2, 2, 2), value=-0.1)
    x = squash(F.conv2d(x, p["features.1.weight"], p["features.1.bias"]))
    assert x.shape[1:] == (6, 28, 28)
    x = subsampled(x, p["features.3.weight"], p["features.3.bias"])
    assert x.shape[1:] == (6, 14, 14)
    rows = [line.split() for line in TABLE_I.strip().splitlines()]
    kernels = iter(p["features.5.weight"])
    maps = []
    for column in range(16):
        total = p["features.5.bias"][column].expand(2, 10, 10)
        for row in range(6):
            if rows[row][column] == "X":
                total = total + F.conv2d(x[:, row : row + 1], next(kernels)[None, None])[:, 0]
        maps.append(squash(total))
    assert next(kernels, None) is None  # all sixty are used
    x = subsampled(torch.stack(maps, 1), p["features.7.weight"], p["features.7.bias"]).flatten(1)
    x = squash(F.linear(x, p["classifier.1.weight"], p["classifier.1.bias"]))
    x = squash(F.linear(x, p["classifier.3.weight"], p["classifier.3.bias"]))
    distances = torch.stack([((x - code) ** 2).sum(1) for code in digit_codes()], 1)
    torch.testing.assert_close(model(images), -distances)


def subsampled(x: Tensor, coefficients: Tensor, biases: Tensor) -> Tensor:
    sums = x[..., 0::2, 0::2] + x[..., 1::2, 0::2] + x[..., 0::2, 1::2] + x[..., 1::2, 1::2]
    return squash(sums * coefficients.view(1, -1, 1, 1) + biases.view(1, -1, 1, 1))


def test_trainable_parameters_layer_by_layer() -> None:
    """C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164: the paper, section II.B."""
    model = LeNet5Of1998()
    layers = [layer for layer in model.modules() if not list(layer.children())]
    counts = [sum(p.numel() for p in layer.parameters() if p.requires_grad) for layer in layers]
    assert [count for count in counts if count] == [156, 12, 1_516, 32, 48_120, 10_164]


def test_sizes_of_the_paper() -> None:
    """32×32 in, then C1 6@28×28, S2 6@14×14, C3 16@10×10, S4 16@5×5, C5 120, F6 84, 10: figure 2."""
    kinds = ("ConstantPad2d", "Conv2d", "Subsampling", "TableConv2d", "Linear", "RBF")
    assert maps(on_meta("lenet5_1998"), 1, 28, 28, kinds=kinds) == [
        *((1, 32, 32), (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)),
        *((120,), (84,), (10,)),
    ]


def test_what_is_saved_is_what_is_counted_and_the_codes() -> None:
    """60,000 trained values and 10 · 84 fixed ones; where C3's kernels belong is in the table, not in the weights."""
    state = on_meta("lenet5_1998").state_dict()
    assert sum(values.numel() for values in state.values()) == 60_840
    assert state["features.5.weight"].numel() == 60 * 25  # sixty connections


def test_the_activation_maps_one_to_one() -> None:
    """f(1) = 1 and f(−1) = −1: appendix A."""
    torch.testing.assert_close(
        ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0])), torch.tensor([-1.0, 0.0, 1.0]), atol=1e-4, rtol=0
    )


def test_around_the_image_is_background() -> None:
    """An image whose pixels are all background cannot be told from its frame: all of a C1 map has one value."""
    torch.manual_seed(0)
    model = LeNet5Of1998(background=0.7)
    c1 = model.features[:2](torch.full((1, 1, 28, 28), 0.7))
    assert (c1.amax(dim=(2, 3)) - c1.amin(dim=(2, 3))).max() < 1e-5


def test_codes_are_ten_different_drawings_of_84_pixels() -> None:
    codes = digit_codes()
    assert codes.shape == (10, 84)
    assert set(codes.flatten().tolist()) == {-1.0, 1.0}
    assert len(codes.unique(dim=0)) == 10


def test_codes_are_read_row_by_row() -> None:
    """The 7 is told by its first rows: a bar, then a stroke that falls to the left."""
    rows = ["".join("#" if pixel > 0 else "." for pixel in row) for row in digit_codes()[7].view(12, 7)]
    assert rows[:5] == [".......", "#######", "......#", ".....#.", ".....#."]


def test_first_weights_stay_within_the_papers_bounds() -> None:
    """Appendix A: uniform from ±2.4 divided by the fan-in: 25 for C1, 4 for S2, 75 to 150 for C3, 400, 120."""
    torch.manual_seed(0)
    model = LeNet5Of1998()
    p = dict(model.named_parameters())
    for key, fan_in in (("features.1", 25), ("classifier.1", 400), ("classifier.3", 120)):
        largest = p[f"{key}.weight"].abs().max().item()
        assert 0.8 * 2.4 / fan_in < largest <= 2.4 / fan_in
        assert p[f"{key}.bias"].abs().max() <= 2.4 / fan_in
    for key in ("features.3.weight", "features.3.bias", "features.7.weight", "features.7.bias"):
        assert 0.1 < p[key].abs().max() <= 2.4 / 4
    sources = [3] * 6 + [4] * 9 + [6]  # of each map of C3: Table I
    for kernels, bias, count in zip(p["features.5.weight"].split(sources), p["features.5.bias"], sources, strict=True):
        assert 0.8 * 2.4 / (25 * count) < kernels.abs().max() <= 2.4 / (25 * count)
        assert bias.abs() <= 2.4 / (25 * count)


@pytest.mark.parametrize("num_classes", [1, 4, 10])
def test_fewer_classes_take_the_first_drawings(num_classes: int) -> None:
    model = LeNet5Of1998(num_classes=num_classes)
    assert torch.equal(model.classifier[5].weight, digit_codes()[:num_classes])
    assert model(torch.zeros(1, 1, 28, 28)).shape == (1, num_classes)
