"""The summary against torchinfo, against gradients, and against its own formulas."""

import math

import pytest
import torch
import torchinfo
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cnncli.analysis.summary import Summary, size_formula, summarise, to_follow, to_json
from cnncli.registry import MODELS
from tests.models.maps import on_meta

SIZES = {"alexnet": [3, 227, 227], "tinyvgg": [3, 64, 64]}


def summary_of(name: str, **options: object) -> Summary:
    return summarise(name, on_meta(name, **options), SIZES.get(name, [1, 28, 28]), 1000 if name == "alexnet" else 10)


@pytest.mark.parametrize("name", ["alexnet", "basic_cnn", "lenet5", "tinyvgg"])
def test_parameters_and_multiplications_are_those_of_torchinfo(name: str) -> None:
    """torchinfo counts the addition of a bias as one more multiplication; ours leave it out."""
    ours = summary_of(name)
    theirs = torchinfo.summary(on_meta(name), input_size=(1, *ours.input_size), device="meta", verbose=0)
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
    assert summary.biases == 6 + 6 + 16 + 16 + 120 + 84
    theirs = torchinfo.summary(on_meta("lenet5_1998"), input_size=(1, 1, 28, 28), device="meta", verbose=0)
    assert (theirs.total_params, theirs.trainable_params) == (60_840, 60_000)


def test_receptive_fields_of_alexnets_convolutions() -> None:
    """11, 51, 99, 131, 163 input pixels: by hand."""
    layers = summary_of("alexnet").layers
    assert [layer.receptive_field for layer in layers if layer.kind == "Conv2d"] == [11, 51, 99, 131, 163]


CHAINS = {
    "dilated": lambda: [
        nn.Conv2d(1, 1, 3, dilation=2),
        nn.AvgPool2d(2),
        nn.Conv2d(1, 1, 5, stride=2),
        nn.Conv2d(1, 1, 3),
    ],
    "lenet5": lambda: [nn.Conv2d(1, 1, 5, padding=2), nn.AvgPool2d(2), nn.Conv2d(1, 1, 5), nn.AvgPool2d(2)],
    "overlapping": lambda: [nn.Conv2d(1, 1, 11, stride=4), nn.AvgPool2d(3, stride=2), nn.Conv2d(1, 1, 5, padding=2)],
    "padded": lambda: [nn.ConstantPad2d(2, 1.0), nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 1), nn.ZeroPad2d(1)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_the_receptive_field_is_where_gradients_reach(name: str) -> None:
    """Rows of the image on which a value in the middle of the last map depends, for each layer of the chain."""
    chain, image = nn.Sequential(*CHAINS[name]()), torch.zeros(1, 1, 120, 120, requires_grad=True)
    reached = []
    for last in range(1, len(chain) + 1):
        for layer in chain:
            if isinstance(layer, nn.Conv2d):
                nn.init.ones_(layer.weight)
        output = chain[:last](image)
        (gradient,) = torch.autograd.grad(output[0, 0, output.shape[2] // 2, output.shape[3] // 2], image)
        rows = gradient[0, 0].sum(1).nonzero().flatten()
        reached.append(int(rows.max() - rows.min()) + 1)
    assert [layer.receptive_field for layer in summarise("chain", chain, [1, 120, 120], 1).layers] == reached


def evaluated(formula: str) -> int:
    """Compute what stands left of the equals sign, and find it on the right; of two sides return the second."""
    result = 0
    for side in formula.split(", "):
        left, right = side.split(" = ")
        python = left.replace("⌊", "math.floor(").replace("⌋", ")").replace("·", "*").replace("−", "-")
        python = python.replace("⌈", "math.ceil(").replace("⌉", ")")
        result = int(eval(python, {"math": math}))
        assert result == int(right)
    return result


@pytest.mark.parametrize("name", MODELS.names())
def test_formulas_come_out_at_the_output_size(name: str) -> None:
    """An empty formula means the same size; an arrow, that any width can follow from any."""
    for layer in summary_of(name).layers:
        if not layer.formula:
            assert layer.output_shape == layer.input_shape, layer
        elif "→" in layer.formula:
            assert layer.formula == f"{layer.input_shape[-1]} → {layer.output_shape[-1]}"
        else:
            assert evaluated(layer.formula) == layer.output_shape[-1], layer


@pytest.mark.parametrize(
    ("layer", "formula"),
    [
        (nn.Conv2d(1, 1, 11, stride=4), "⌊(227 − 11 + 2·0) / 4⌋ + 1 = 55"),  # AlexNet's first
        (nn.Conv2d(1, 1, 3, stride=2, padding=1), "⌊(227 − 3 + 2·1) / 2⌋ + 1 = 114"),
        (nn.Conv2d(1, 1, 3, dilation=2), "⌊(227 − 2·(3 − 1) − 1 + 2·0) / 1⌋ + 1 = 223"),  # as torch.nn.Conv2d's page
        (nn.MaxPool2d(3, stride=2), "⌊(227 − 3 + 2·0) / 2⌋ + 1 = 113"),
        (nn.ConstantPad2d(2, 0.5), "227 + 2 + 2 = 231"),
        (nn.ZeroPad2d((1, 2, 1, 2)), "227 + 1 + 2 = 230"),
        (nn.Flatten(), "1·227·227 = 51529"),
        (nn.ReLU(), ""),
    ],
)
def test_a_formula_has_its_numbers_filled_in(layer: nn.Module, formula: str) -> None:
    (row,) = summarise("one", nn.Sequential(layer), [1, 227, 227], 1).layers
    assert row.formula == formula
    if formula:
        assert evaluated(formula) == row.output_shape[-1]


def test_a_dense_layer_in_place_of_a_convolution() -> None:
    """28×28×3 to 28×28×32 would take 59,006,976 weights where a 3×3 convolution has 864."""
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


@pytest.mark.parametrize("name", ["basic_cnn", "lenet5", "lenet5_1998", "tinyvgg"])
def test_activations_are_about_what_a_backward_pass_keeps(name: str) -> None:
    """Autograd says what it saves. Not each map is (ReLU's input is not), but places of maxima are, in 8 bytes."""
    model, saved = MODELS.get(name)(), dict[int, Tensor]()
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.randn(10, *SIZES.get(name, [1, 28, 28])))
    measured = sum(tensor.untyped_storage().nbytes() for place, tensor in saved.items() if place not in own)
    assert 0.5 < measured / summary_of(name).training_bytes(10)["activations"] < 2


@pytest.mark.parametrize(("name", "device"), [("lenet5", "cpu"), ("alexnet", "meta")])
def test_large_networks_are_followed_without_numbers_and_no_hooks_are_left(name: str, device: str) -> None:
    """AlexNet's 250 MB are nowhere; importing what the meta device takes would be the longest part of LeNet-5's."""
    size = SIZES.get(name, [1, 28, 28])
    model = to_follow(MODELS.get(name), size)
    summarise(name, model, size, 10)
    assert {values.device.type for values in model.state_dict().values()} == {device}
    assert not any(layer._forward_hooks for layer in model.modules())


FAMILY = [name.removeprefix("torchvision/") for name in MODELS.members("torchvision")]
KINDS = ["resnet18", "squeezenet1_0", "shufflenet_v2_x0_5", "mobilenet_v3_small", "convnext_tiny", "swin_t", "vit_b_32"]
NORMALISATIONS = ("BatchNorm2d", "LayerNorm", "LayerNorm2d", "CNBlock")  # the last scales as well


@pytest.mark.parametrize(
    "name", [*KINDS, *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILY if name not in KINDS)]
)
def test_networks_that_are_no_chain_are_counted_as_torch_counts(name: str) -> None:
    """Convolutions and products with a matrix of weights are half of the operations that FlopCounterMode counts.

    It leaves out normalisation; what attention multiplies with each other (bmm) are no weights.
    """
    network = on_meta(f"torchvision/{name}").eval()
    side = vars(MODELS.get(f"torchvision/{name}"))["published"].usual.size
    summary = summarise(name, network, [3, side, side], 1000)
    assert summary.weights + summary.biases == sum(parameter.numel() for parameter in network.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, side, side, device="meta"))
    counts = {str(operation): count for operation, count in counter.get_flop_counts()["Global"].items()}
    macs = sum(layer.macs for layer in summary.layers if layer.kind not in NORMALISATIONS)
    assert macs == sum(counts.get(f"aten.{name}", 0) for name in ("convolution", "addmm", "mm")) // 2
    for layer in summary.layers:
        if " = " in layer.formula:
            assert evaluated(layer.formula) == layer.output_shape[-1], layer


@pytest.mark.parametrize(("name", "field"), [("resnet18", 435), ("vgg16", 212), ("inception_v3", 1311)])
def test_receptive_fields_before_the_last_pooling(name: str, field: int) -> None:
    """Two of Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.

    By hand that of ResNet-18: 11 before its blocks, whose first convolutions add 8, 8, 16 and 32, and the three others
    of a stage 3 · 8, 16, 32 and 64.
    """
    side = 299 if name == "inception_v3" else 224
    layers = summarise(name, on_meta(f"torchvision/{name}"), [3, side, side], 1000).layers
    last = next(number for number, layer in enumerate(layers) if layer.name == "avgpool")
    assert max(layer.receptive_field or 0 for layer in layers[:last]) == field


def test_of_a_residual_block_the_wider_branch_counts() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.narrow, self.wide = nn.Conv2d(1, 1, 1, stride=2), nn.Conv2d(1, 1, 5, stride=2, padding=2)
            self.after, self.pool, self.last = nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 1)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.after(torch.cat([self.wide(images) + self.narrow(images)] * 2, 1).chunk(2, 1)[0])
            return maps * self.last(self.pool(maps))

    layers = summarise("block", Block(), [1, 40, 40], 1).layers
    fields = {layer.name: layer.receptive_field for layer in layers}
    assert fields == {"wide": 5, "narrow": 1, "after": 9, "pool": 40, "last": 40}  # 5 + 2·2


def test_attention_within_windows_is_followed_no_further() -> None:
    layers = summarise("swin", on_meta("torchvision/swin_t"), [3, 224, 224], 1000).layers
    assert [layer.receptive_field for layer in layers][:3] == [4, 4, 4]
    assert {layer.receptive_field for layer in layers if layer.kind == "ShiftedWindowAttention"} == {None}
    assert layers[-1].receptive_field == 224


@pytest.mark.parametrize(
    ("layer", "source", "formula"),
    [
        (nn.Conv2d(1, 1, 3, padding=1), [1, 8, 10], "⌊(8 − 3 + 2·1) / 1⌋ + 1 = 8, ⌊(10 − 3 + 2·1) / 1⌋ + 1 = 10"),
        (
            nn.Conv2d(1, 1, (1, 7), padding=(0, 3)),
            [1, 8, 8],
            "⌊(8 − 1 + 2·0) / 1⌋ + 1 = 8, ⌊(8 − 7 + 2·3) / 1⌋ + 1 = 8",
        ),
        (nn.Conv2d(1, 1, 3, padding="same", dilation=2), [1, 8, 8], "⌊(8 − 2·(3 − 1) − 1 + 2·2) / 1⌋ + 1 = 8"),
        (nn.Conv2d(1, 1, 3, padding="valid"), [1, 8, 8], "⌊(8 − 3 + 2·0) / 1⌋ + 1 = 6"),
        (nn.MaxPool2d(3, 2, ceil_mode=True), [1, 8, 8], "⌈(8 − 3 + 2·0) / 2⌉ + 1 = 4"),
        (nn.Conv2d(1, 1, 4, padding="same"), [1, 8, 8], ""),  # two zeros on one side and one on the other
        (nn.Conv2d(1, 1, (3, 4), padding="same"), [1, 8, 8], ""),
        (nn.ConvTranspose2d(1, 1, 2, 2), [1, 8, 8], "8 → 16"),
        (nn.Conv1d(1, 1, 3), [1, 8], "⌊(8 − 3 + 2·0) / 1⌋ + 1 = 6"),
        (nn.Conv3d(1, 1, (1, 3, 3)), [1, 8, 8, 8], "⌊(8 − 3 + 2·0) / 1⌋ + 1 = 6"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_sizes_are_written_out(layer: nn.Module, source: list[int], formula: str) -> None:
    """The sizes are those that the layer makes; both sides are written where they differ."""
    made = list(layer(torch.zeros(1, *source)).shape[1:])
    assert size_formula(layer, source, made) == formula
