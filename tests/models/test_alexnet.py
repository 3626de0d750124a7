"""AlexNet against its paper, and against torchvision's where they coincide."""

from itertools import pairwise

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.models import window
from cnncli.models.alexnet import AlexNet
from tests.models.maps import maps, on_meta

SMALLEST = 67  # pixels a side at which one pixel is left for the dense layers, which are small then


def test_sizes_of_one_tower() -> None:
    """55×55×96, 27, 27×27×256, 13, 384, 384, 256, 6×6×256 = 9216, 4096, 4096, 1000."""
    kinds = ("Conv2d", "MaxPool2d", "Flatten", "Linear")
    assert maps(on_meta("alexnet"), 3, 227, 227, kinds=kinds) == [
        *((96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13)),
        *((384, 13, 13), (384, 13, 13), (256, 13, 13), (256, 6, 6)),
        *((9216,), (4096,), (4096,), (1000,)),
    ]


def test_parameters_are_weights_and_biases() -> None:
    counts = {"weight": 0, "bias": 0}
    for key, parameter in on_meta("alexnet").named_parameters():
        counts[key.rpartition(".")[2]] += parameter.numel()
    assert counts == {"weight": 62_367_776, "bias": 10_568}


def test_layers_are_those_of_torchvision() -> None:
    """torchvision has the one-tower variant of 2014: fewer maps, and a first padding of 2 for 224×224 images."""
    ours = on_meta("alexnet")
    with torch.device("meta"):
        theirs = torchvision.models.alexnet()
    theirs.avgpool = nn.Identity()  # at 224 it averages over single values
    features = [(type(layer), window(layer)) for layer in ours.features]
    their_features = [(type(layer), window(layer)) for layer in theirs.features]
    assert features[1:] == their_features[1:]
    assert (features[0][1], their_features[0][1]) == ((11, 4, 0, 1), (11, 4, 2, 1))
    dense = [(type(layer), getattr(layer, "weight", torch.empty(0)).shape) for layer in ours.classifier[1:]]
    assert dense == [(type(layer), getattr(layer, "weight", torch.empty(0)).shape) for layer in theirs.classifier]
    kinds = ("Conv2d", "MaxPool2d")
    sides, their_sides = maps(ours, 3, 227, 227, kinds=kinds), maps(theirs, 3, 224, 224, kinds=kinds)
    assert [shape[1:] for shape in sides] == [shape[1:] for shape in their_sides]


def test_the_two_gpu_network_of_the_paper() -> None:
    model = on_meta("alexnet", groups=2, lrn=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == 60_965_224
    assert [layer.groups for layer in model.features if isinstance(layer, nn.Conv2d)] == [1, 2, 1, 2, 2]
    kinds = [type(layer).__name__ for layer in model.features]
    assert kinds[:8] == ["Conv2d", "ReLU", "LocalResponseNorm", "MaxPool2d"] * 2
    assert kinds.count("LocalResponseNorm") == 2


def normalised(a: Tensor) -> Tensor:
    """Compute b_i = a_i / (k + α Σ a_j²)^β over the n = 5 nearest maps; k 2, α 1e-4, β 0.75: the paper, 3.3."""
    maps = [a[:, i] / (2 + 1e-4 * a[:, max(i - 2, 0) : i + 3].square().sum(1)) ** 0.75 for i in range(a.shape[1])]
    return torch.stack(maps, dim=1)


def test_response_normalisation_is_the_papers_formula() -> None:
    norm = next(layer for layer in on_meta("alexnet", lrn=True).features if isinstance(layer, nn.LocalResponseNorm))
    a = torch.rand(1, 9, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 50
    torch.testing.assert_close(norm(a), normalised(a))


@pytest.mark.parametrize(("groups", "lrn"), [(1, False), (2, True)])
def test_it_equals_its_layers_written_out(groups: int, lrn: bool) -> None:
    torch.manual_seed(0)
    model = AlexNet(num_classes=3, image_size=SMALLEST, groups=groups, lrn=lrn).eval()  # type: ignore[arg-type]
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    (w1, b1), (w2, b2), (w3, b3), (w4, b4), (w5, b5), *dense = [(layer.weight, layer.bias) for layer in layers]
    x = images = torch.randn(2, 3, SMALLEST, SMALLEST) * 20  # so large that normalisation matters
    x = F.relu(F.conv2d(x, w1, b1, stride=4))
    x = F.max_pool2d(normalised(x) if lrn else x, 3, stride=2)
    x = F.relu(grouped(x, w2, b2, groups, padding=2))
    x = F.max_pool2d(normalised(x) if lrn else x, 3, stride=2)
    x = F.relu(F.conv2d(x, w3, b3, padding=1))
    x = F.relu(grouped(x, w4, b4, groups, padding=1))
    x = F.relu(grouped(x, w5, b5, groups, padding=1))
    x = F.max_pool2d(x, 3, stride=2).flatten(1)
    for index, (weight, bias) in enumerate(dense):
        x = F.linear(x, weight, bias)
        x = F.relu(x) if index < 2 else x
    with torch.no_grad():
        torch.testing.assert_close(model(images), x, rtol=1e-4, atol=1e-5)


def grouped(x: Tensor, weight: Tensor, bias: Tensor, groups: int, padding: int) -> Tensor:
    """Convolve as the paper's GPUs did: each its own share of the maps."""
    shares = zip(x.chunk(groups, 1), weight.chunk(groups), bias.chunk(groups), strict=True)
    return torch.cat([F.conv2d(part, w, b, padding=padding) for part, w, b in shares], dim=1)


def test_dropout_is_drawn_in_training_alone() -> None:
    torch.manual_seed(0)
    model, image = AlexNet(num_classes=3, image_size=SMALLEST), torch.randn(1, 3, SMALLEST, SMALLEST)
    rates = [(index, layer.p) for index, layer in enumerate(model.classifier) if isinstance(layer, nn.Dropout)]
    assert rates == [(1, 0.5), (4, 0.5)]  # before the first two dense layers: section 4.2 of the paper
    with torch.no_grad():
        assert not torch.equal(model.train()(image), model(image))
        assert torch.equal(model.eval()(image), model(image))
    assert [layer.p for layer in on_meta("alexnet", dropout=0.25).modules() if isinstance(layer, nn.Dropout)] == [
        0.25
    ] * 2


def test_first_weights_of_the_paper() -> None:
    """N(0, 0.01²), and biases of 1 in convolutions 2, 4, 5 and the hidden dense layers: section 5 of the paper."""
    torch.manual_seed(0)
    model = AlexNet(num_classes=10, image_size=SMALLEST, init="paper")
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:
        n = layer.weight.numel()  # mean and deviation of n draws vary by 0.01/√n and 0.01/√(2n)
        assert abs(layer.weight.mean().item()) < 5 * 0.01 / n**0.5
        assert abs(layer.weight.std().item() - 0.01) < 5 * 0.01 / (2 * n) ** 0.5
    assert [set(layer.bias.tolist()) for layer in layers] == [{0.0}, {1.0}, {0.0}, {1.0}, {1.0}, {1.0}, {1.0}, {0.0}]


def test_first_weights_for_relu() -> None:
    """N(0, 2 / fan_in): equation 10 of He et al., "Delving Deep into Rectifiers", 2015."""
    torch.manual_seed(0)
    for layer in AlexNet(num_classes=10, image_size=SMALLEST, init="kaiming").modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            n, std = layer.weight.numel(), (2 / layer.weight[0].numel()) ** 0.5
            assert abs(layer.weight.mean().item()) < 5 * std / n**0.5
            assert abs(layer.weight.std().item() - std) < 5 * std / (2 * n) ** 0.5
            assert not layer.bias.any()


def test_kernels_of_the_default_start_differ() -> None:
    """PyTorch's own start: uniform within ±1/√(fan-in), so no two kernels or biases are alike."""
    torch.manual_seed(0)
    for layer in AlexNet(num_classes=10, image_size=SMALLEST).modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5
            assert 0.9 * bound < layer.weight.max() <= bound
            assert all(not torch.equal(a, b) for a, b in pairwise(layer.weight[:10]))
