"""The summary against torchinfo, against gradients, and against its own formulas."""

import math
import re

import pytest
import torch
import torchinfo
from torch import nn

from cnncli.analysis.summary import Summary, summarise, to_json
from cnncli.registry import MODELS

SIZES = {"alexnet": [3, 227, 227], "tinyvgg": [3, 64, 64]}


def summary_of(name: str, **options: object) -> Summary:
    with torch.device("meta"):
        model = MODELS.get(name)(**options)
    return summarise(name, model, SIZES.get(name, [1, 28, 28]), 1000 if name == "alexnet" else 10)


@pytest.mark.parametrize("name", ["alexnet", "basic_cnn", "lenet5", "tinyvgg"])
def test_parameters_and_multiplications_are_those_of_torchinfo(name: str) -> None:
    """torchinfo counts the addition of a bias as one more multiplication; ours leave it out."""
    ours = summary_of(name)
    with torch.device("meta"):
        model = MODELS.get(name)()
    theirs = torchinfo.summary(model, input_size=(1, *ours.input_size), device="meta", verbose=0)
    assert ours.weights + ours.biases == theirs.total_params
    assert ours.trainable == theirs.trainable_params
    bias_additions = sum(layer.biases * math.prod(layer.output_shape[1:]) for layer in ours.layers)
    assert ours.macs + bias_additions == theirs.total_mult_adds


def test_lenet5_1998_is_counted_by_hand() -> None:
    """C1 28²·150, S2 14²·6, C3 10²·1500, S4 5²·16, C5 48,000, F6 10,080, RBF 840 multiplications."""
    summary = summary_of("lenet5_1998")
    macs = [layer.macs for layer in summary.layers if layer.macs]
    assert macs == [28**2 * 150, 14**2 * 6, 10**2 * 1500, 5**2 * 16, 48_000, 10_080, 840]
    assert (summary.trainable, summary.weights + summary.biases) == (60_000, 60_840)


def test_receptive_fields_of_alexnets_convolutions() -> None:
    """11, 51, 99, 131, 163 input pixels: the issue's figures."""
    layers = summary_of("alexnet").layers
    assert [layer.receptive_field for layer in layers if layer.kind == "Conv2d"] == [11, 51, 99, 131, 163]


def test_the_receptive_field_is_where_gradients_reach() -> None:
    chain = nn.Sequential(
        nn.Conv2d(1, 1, 3, dilation=2), nn.AvgPool2d(2), nn.Conv2d(1, 1, 5, stride=2), nn.Conv2d(1, 1, 3)
    )
    image = torch.zeros(1, 1, 80, 80, requires_grad=True)
    for layer in chain:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    output = chain(image)
    output[0, 0, output.shape[2] // 2, output.shape[3] // 2].backward()
    assert image.grad is not None
    rows = image.grad[0, 0].sum(1).nonzero().flatten()
    expected = int(rows.max() - rows.min()) + 1
    assert summarise("chain", chain, [1, 80, 80], 1).layers[-1].receptive_field == expected


@pytest.mark.parametrize("name", MODELS.names())
def test_formulas_come_out_at_the_output_size(name: str) -> None:
    for layer in summary_of(name).layers:
        if not layer.formula or "→" in layer.formula:
            continue
        left, right = layer.formula.split(" = ")
        python = left.replace("⌊", "math.floor(").replace("⌋", ")").replace("·", "*").replace("−", "-")
        assert eval(python, {"math": math}) == int(right) == layer.output_shape[-1], layer


def test_the_formula_has_its_numbers_filled_in() -> None:
    layers = summary_of("alexnet").layers
    assert layers[0].formula == "⌊(227 − 11 + 2·0) / 4⌋ + 1 = 55"
    assert next(layer for layer in layers if layer.kind == "Flatten").formula == "256·6·6 = 9216"


def test_a_dense_layer_in_place_of_a_convolution() -> None:
    """28×28×3 to 28×28×32 would take 59,006,976 weights where a 3×3 convolution has 864: the issue's example."""
    (layer,) = summarise("one", nn.Sequential(nn.Conv2d(3, 32, 3, padding=1)), [3, 28, 28], 1).layers
    assert (layer.dense_weights, layer.weights, layer.biases) == (59_006_976, 864, 32)


def test_json_has_the_names_that_others_rely_on() -> None:
    plain = to_json(summary_of("lenet5"))
    assert list(plain) == ["model", "input_size", "num_classes", "params", "macs", "layers"]
    assert plain["params"] == {"total": 61_706, "trainable": 61_706, "weights": 61_470, "biases": 236}
    assert set(plain["layers"][0]) == {
        *("name", "kind", "input_shape", "output_shape", "formula", "weights", "biases", "macs"),
        *("dense_weights", "receptive_field"),
    }
    assert plain["layers"][0]["input_shape"] == [1, 28, 28]


def test_memory_of_training() -> None:
    memory = summary_of("lenet5").training_bytes(batch_size=10)
    assert memory["weights"] == memory["gradients"] == memory["momentum"] == 4 * 61_706
    values = sum(math.prod(layer.output_shape) for layer in summary_of("lenet5").layers) + 28 * 28
    assert memory["activations"] == 4 * 10 * values


def test_no_formula_speaks_of_python() -> None:
    assert all(re.fullmatch(r"[\d⌊⌋()·+−/=→ ]*", layer.formula) for layer in summary_of("alexnet").layers)
