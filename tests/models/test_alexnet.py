"""AlexNet against its paper."""

import torch
from torch import nn

from cnncli.models.alexnet import AlexNet


def on_meta(**options: object) -> AlexNet:
    with torch.device("meta"):
        return AlexNet(**options)  # type: ignore[arg-type]


def test_sizes_of_one_tower() -> None:
    """55×55×96, 27, 27×27×256, 13, 384, 384, 256, 6×6×256 = 9216, 4096, 4096, 1000: the issue's table."""
    model, shapes = on_meta(), []
    x = torch.empty(1, 3, 227, 227, device="meta")
    for layer in model.features:
        x = layer(x)
        if not isinstance(layer, nn.ReLU):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        *((96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13)),
        *((384, 13, 13), (384, 13, 13), (256, 13, 13), (256, 6, 6)),
    ]
    dense = [layer for layer in model.classifier if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(9216, 4096), (4096, 4096), (4096, 1000)]


def test_parameters_are_weights_and_biases() -> None:
    counts = {"weight": 0, "bias": 0}
    for key, parameter in on_meta().named_parameters():
        counts[key.rpartition(".")[2]] += parameter.numel()
    assert counts == {"weight": 62_367_776, "bias": 10_568}


def test_the_two_gpu_network_of_the_paper() -> None:
    model = on_meta(groups=2, lrn=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == 60_965_224
    assert [layer.groups for layer in model.features if isinstance(layer, nn.Conv2d)] == [1, 2, 1, 2, 2]
    kinds = [type(layer).__name__ for layer in model.features]
    assert kinds[:8] == ["Conv2d", "ReLU", "LocalResponseNorm", "MaxPool2d"] * 2


def test_response_normalisation_is_the_papers_formula() -> None:
    """b_i = a_i / (k + α Σ a_j²)^β over the n = 5 nearest maps; k 2, α 1e-4, β 0.75: section 3.3 of the paper."""
    norm = next(layer for layer in on_meta(lrn=True).features if isinstance(layer, nn.LocalResponseNorm))
    a = torch.rand(1, 9, 2, 2, dtype=torch.float64) * 50
    expected = torch.empty_like(a)
    for i in range(9):
        near = a[:, max(i - 2, 0) : i + 3]
        expected[:, i] = a[:, i] / (2 + 1e-4 * near.square().sum(1)) ** 0.75
    torch.testing.assert_close(norm(a), expected)


def test_first_weights_of_the_paper() -> None:
    """N(0, 0.01²), and biases of 1 in convolutions 2, 4, 5 and the hidden dense layers: section 5 of the paper."""
    torch.manual_seed(0)
    model = AlexNet(num_classes=10, image_size=67, init="paper")
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:
        assert abs(layer.weight.std().item() - 0.01) < 2e-4
    assert [set(layer.bias.tolist()) for layer in layers] == [{0.0}, {1.0}, {0.0}, {1.0}, {1.0}, {1.0}, {1.0}, {0.0}]
