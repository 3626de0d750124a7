"""What a page holds of a forward pass, against forward passes with hooks that are written here."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.analysis.explanation import SMALL, THUMBNAIL, Explanation, Part, View, explain, results
from cnncli.pages.explain.archive import pack, to_script
from cnncli.registry import MODELS
from tests.networks import TestNet

EXACT = ("input", "convolution", "dense", "rbf", "pool", "flatten", "other", "pad", "identity", "concatenate")
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "lenet5": (lambda: MODELS.get("lenet5")(), 1, 28),
    "lenet5_1998": (lambda: MODELS.get("lenet5_1998")(), 1, 28),
    "basic_cnn": (lambda: MODELS.get("basic_cnn")(), 1, 28),
    "tinyvgg": (lambda: MODELS.get("tinyvgg")(), 3, 64),
    "alexnet": (lambda: MODELS.get("alexnet")(), 3, 227),
    "alexnet of 2012": (lambda: MODELS.get("alexnet")(groups=2, lrn=True), 3, 227),
    "resnet18": (lambda: MODELS.get("torchvision/resnet18")(), 3, 224),
    "batch norm and dropout": (lambda: TestNet(image_size=16), 1, 16),
}


def network(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network with nothing at zero or one, and two images."""
    build, channels, size = NETWORKS[name]
    torch.manual_seed(0)
    model = build().eval()
    for tensor_name, tensor in model.state_dict().items():
        if tensor.dim() == 1 and "places" not in tensor_name:
            nn.init.uniform_(tensor, 0.5, 1.5) if "running" in tensor_name else nn.init.normal_(tensor, 0.3, 0.1)
    return model, F.interpolate(torch.randn(2, channels, 7, 7), (size, size), mode="bicubic")


def hooked(model: nn.Module, image: Tensor) -> dict[str, list[Tensor]]:
    """Return what each module without modules in it made at each of its calls, and ``logits``."""
    made: dict[str, list[Tensor]] = {}

    def note(name: str, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        made.setdefault(name, []).append(output[0].clone())

    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    handles = [module.register_forward_hook(partial(note, name)) for name, module in leaves]
    with torch.no_grad():
        made["logits"] = [model(image[None])[0]]
    for handle in handles:
        handle.remove()
    return made


def of_units(part: Part, values: Tensor) -> Tensor:
    return values if part.units is None else values[part.units]


def check_against_hooks(explanation: Explanation, view: View, model: nn.Module, image: Tensor) -> None:
    """Compare every result that is shown with what the network's modules made."""
    made = hooked(model, image)
    values = results(explanation, view)
    for part, value in zip(explanation.parts, values, strict=True):
        assert [part.shape[0] if part.units is None else len(part.units), *part.shape[1:]] == list(value.shape)
        if made.get(part.name):
            wanted = of_units(part, made[part.name].pop(0))
            kind, options = part.operation.kind, part.operation.options
            if kind in EXACT or options.get("function") == "relu":
                assert torch.equal(value, wanted), part.id
            else:
                torch.testing.assert_close(value, wanted, rtol=1e-6, atol=1e-6, msg=part.id)
    assert torch.equal(values[0], image)
    (logits,) = made.pop("logits")
    assert torch.equal(values[-2], logits)
    torch.testing.assert_close(values[-1], logits.softmax(0), rtol=0, atol=1e-6)
    assert not any(made.values())  # all were compared


@pytest.fixture(scope="module", params=NETWORKS)
def explained(request: pytest.FixtureRequest) -> tuple[Explanation, nn.Module, Tensor]:
    model, images = network(request.param)
    return explain(model, images, ["a", "b"], [1, None], cam=True), model, images


def test_all_results_are_those_of_a_hooked_pass(explained: tuple[Explanation, nn.Module, Tensor]) -> None:
    explanation, model, images = explained
    assert [(view.name, view.label) for view in explanation.views] == [("a", 1), ("b", None)]
    for view, image in zip(explanation.views, images, strict=True):
        check_against_hooks(explanation, view, model, image)


def test_only_odd_operations_are_not_known(explained: tuple[Explanation, nn.Module, Tensor]) -> None:
    assert "other" not in {part.operation.kind for part in explained[0].parts}


def test_what_is_left_out_is_said(explained: tuple[Explanation, nn.Module, Tensor]) -> None:
    explanation, model, _ = explained
    parts = explanation.parts
    num_weights = sum(parameter.numel() for parameter in model.parameters())
    assert explanation.num_weights == num_weights
    assert explanation.is_editable == (num_weights * 4 <= SMALL)
    if explanation.is_editable:
        assert explanation.left_out == {}
        return
    assert explanation.left_out == {part.id: part.shape[0] - len(part.units) for part in parts if part.units}
    for part in parts:
        if part.operation.kind in ("convolution", "dense") and part is not parts[-2]:
            assert len(part.units or []) == 12
    for view in explanation.views:
        assert {explanation.parts[number].id for number in view.sheets} == set(explanation.left_out)


def test_sums_add_up(explained: tuple[Explanation, nn.Module, Tensor]) -> None:
    check_sums(explained[0])


def check_sums(explanation: Explanation) -> None:
    """Bias, what the units shown add, and what the others add, make the result."""
    for view in explanation.views:
        values = results(explanation, view)
        for number, part in enumerate(explanation.parts):
            if part.operation.kind not in ("convolution", "dense", "rbf"):
                continue
            shown = explanation.parts[part.inputs[0]].units
            assert (shown is None) == (number not in view.others)
            total = summed(part, values[part.inputs[0]], shown) + view.others.get(number, torch.zeros(()))
            torch.testing.assert_close(total, view.outputs[number], rtol=1e-4, atol=1e-4, msg=part.id)


def summed(part: Part, given: Tensor, shown: list[int] | None) -> Tensor:
    """Return a bias and what the units that are ``given`` add to it."""
    tensors, options = part.operation.tensors, part.operation.options
    if part.operation.kind == "rbf":
        return -(tensors["weight"] - given).square().sum(1)
    if part.operation.kind == "dense":
        return tensors["weight"] @ given + tensors["bias"]
    place = {unit: number for number, unit in enumerate(range(len(given)) if shown is None else shown)}
    kernels = iter(tensors["weight"])
    geometry = options["stride"], options["padding"], options["dilation"]
    results = []
    for sources, bias in zip(options["sources"], tensors["bias"], strict=True):
        sums = torch.zeros(part.shape[1:]) + bias
        for source in sources:
            sums += F.conv2d(given[None, [place[source]]], next(kernels)[None, None], None, *geometry)[0, 0]
        results.append(sums)
    assert next(kernels, None) is None
    return torch.stack(results)


def test_some_numbers_of_what_is_computed_anew_are_kept(explained: tuple[Explanation, nn.Module, Tensor]) -> None:
    explanation, _, _ = explained
    for view in explanation.views:
        values = results(explanation, view)
        assert view.checks.keys() | view.outputs.keys() == set(range(len(values)))
        for number, checks in view.checks.items():
            assert len(checks) == min(32, values[number].numel())
            for place, value in checks:
                assert values[number].flatten()[place].item() == pytest.approx(value, rel=1e-5, abs=1e-5)


def test_sheets_show_all_units_small(explained: tuple[Explanation, nn.Module, Tensor]) -> None:
    explanation, model, images = explained
    made = hooked(model, images[0])
    for number, sheet in explanation.views[0].sheets.items():
        part = explanation.parts[number]
        height, width = part.shape[1:] or (1, 1)
        assert sheet.shape == (part.shape[0], min(height, THUMBNAIL), min(width, THUMBNAIL))
        whole = made[part.name].pop(0) if made.get(part.name) else None
        if whole is not None and max(height, width) <= THUMBNAIL:
            assert torch.equal(sheet.flatten(), whole.flatten())


def test_class_activation_is_grad_cam(explained: tuple[Explanation, nn.Module, Tensor]) -> None:
    """With hooks on the last layer whose maps are as large as the last convolution's."""
    explanation, model, images = explained
    convolutions = ("Conv2d", "TableConv2d")
    leaves = [module for module in model.modules() if not list(module.children())]
    sizes: list[tuple[nn.Module, torch.Size]] = []
    handles = [leaf.register_forward_hook(lambda m, _, out: sizes.append((m, out.shape))) for leaf in leaves]
    with torch.no_grad():
        model(images[:1])
    for handle in handles:
        handle.remove()
    wanted = [shape[2:] for layer, shape in sizes if type(layer).__name__ in convolutions][-1]
    last = [layer for layer, shape in sizes if len(shape) == 4 and shape[2:] == wanted][-1]
    for view, image in zip(explanation.views, images, strict=True):
        kept: list[Tensor] = []
        handle = last.register_forward_hook(lambda _, __, out, kept=kept: kept.append(out))  # type: ignore[misc]
        logits = model(image[None].clone().requires_grad_())
        handle.remove()
        (gradient,) = torch.autograd.grad(logits.max(), kept[-1])
        cam = torch.einsum("bchw,bc->bhw", kept[-1], gradient.mean((2, 3)))[0].clamp(min=0).detach()
        assert view.cam is not None
        assert view.cam.shape == wanted
        torch.testing.assert_close(view.cam, cam / (cam.max() or 1), rtol=1e-4, atol=1e-5)


def small(*layers: nn.Module, size: int = 8, **options: Any) -> Explanation:
    torch.manual_seed(0)
    model = nn.Sequential(*layers).eval()
    return explain(model, torch.randn(1, 2, size, size), ["a"], [None], **options)


def ids(explanation: Explanation) -> list[str]:
    return [part.id for part in explanation.parts]


def test_parts_have_names_of_their_own() -> None:
    layers = [nn.Conv2d(2, 3, 3, padding_mode="circular", padding=1), nn.Conv2d(3, 3, 3), nn.ReLU6(), nn.ReLU()]
    layers += [nn.Dropout2d(), nn.Dropout(), nn.Identity(), nn.AdaptiveAvgPool2d(3), nn.MaxPool2d(2, 1), nn.Flatten()]
    layers += [nn.Flatten(), nn.Linear(12, 3), nn.Softmax(1)]
    explanation = small(*layers)
    assert ids(explanation) == [
        *("input", "conv1", "conv2", "relu1", "relu2", "dropout1", "dropout2", "identity1", "pool1", "pool2"),
        *("flatten", "flatten2", "dense1", "softmax", "softmax2"),
    ]
    assert [part.operation.kind for part in explanation.parts[1:3]] == ["other", "convolution"]


def test_sizes_of_maps_that_are_no_squares() -> None:
    explanation = small(nn.Conv2d(2, 3, (3, 5), stride=(1, 2), padding=(1, 0)), nn.Flatten(), nn.Linear(48, 3))
    assert explanation.parts[1].formula == "⌊(8 − 3 + 2·1) / 1⌋ + 1 = 8, ⌊(8 − 5 + 2·0) / 2⌋ + 1 = 2"
    assert explanation.parts[2].formula == "3·8·2 = 48"


def test_a_network_that_ends_in_maps_or_in_softmax() -> None:
    for last in ([nn.Conv2d(4, 3, 8), nn.Flatten()], [nn.Flatten(), nn.Linear(256, 3), nn.Softmax(1)]):
        for units in (None, 2):
            explanation = small(nn.Conv2d(2, 4, 1), *last, units=units)
            shares = results(explanation, explanation.views[0])[-1]
            assert shares.sum().item() == pytest.approx(1)
            assert len(shares) == 3


class Odd(nn.Module):
    """Claims to be dropout, but is not."""

    def forward(self, values: Tensor) -> Tensor:
        return values + 1


def test_a_layer_that_does_not_do_as_its_name_says_is_kept() -> None:
    odd = type("Dropout", (Odd,), {})()
    explanation = small(nn.Flatten(), odd, nn.Linear(128, 3))
    assert ids(explanation)[2] == "dropout1"
    assert explanation.parts[2].operation.kind == "other"
    assert 2 in explanation.views[0].outputs
    assert not explanation.is_editable


class Ways(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return (images.relu() if images.sum() > 0 else images).flatten(1)


def test_images_that_take_different_ways_are_refused() -> None:
    image = torch.ones(1, 1, 2, 2)
    with pytest.raises(ValueError, match="different ways"):
        explain(Ways(), torch.cat([image, -image]), ["a", "b"], [None, None])


def test_an_answer_that_is_no_number_is_refused_with_the_layer_where_that_begins() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 3)).eval()
    nn.init.constant_(model[1].weight, float("nan"))
    with pytest.raises(ValueError, match=r"the answer for a\.png is not a number, and 1 \(BatchNorm2d\) is where"):
        explain(model, torch.ones(1, 2, 8, 8), ["a.png"], [None])


class Masked(nn.Module):
    """Has infinite and undefined numbers on its way to logits that are neither."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.nan_to_num(torch.log(images.relu()), 0, 0, -5).flatten(1)


def test_numbers_on_the_way_may_be_infinite() -> None:
    image = torch.tensor([[[[1.0, -1.0], [2.0, 3.0]]]])
    explanation = explain(Masked(), image, ["a"], [None])
    values = results(explanation, explanation.views[0])
    assert values[2].flatten().tolist() == pytest.approx([0, float("-inf"), 0.6931472, 1.0986123])
    assert values[-2].tolist() == pytest.approx([0, -5, 0.6931472, 1.0986123])


ODD_NETWORKS = {
    "mobilenet_v3_small": 64,
    "shufflenet_v2_x0_5": 64,
    "densenet121": 64,
    "googlenet": 64,
    "inception_v3": 80,
    "squeezenet1_1": 64,
    "mnasnet0_5": 64,
    "vit_b_32": 224,
    "swin_t": 64,
    "convnext_tiny": 64,
    "maxvit_t": 224,
    "efficientnet_b0": 64,
    "regnet_y_400mf": 64,
}


@pytest.mark.parametrize(
    "name", [name if name.startswith("mob") else pytest.param(name, marks=pytest.mark.slow) for name in ODD_NETWORKS]
)
def test_networks_with_odd_operations(name: str) -> None:
    """Modules that hold no others are compared; so are logits; and a page can be made of all of it."""
    torch.manual_seed(0)
    options = {"image_size": ODD_NETWORKS[name]} if name.startswith(("vit", "maxvit")) else {}
    model = MODELS.get(f"torchvision/{name}")(num_classes=20, **options).eval()
    image = torch.randn(1, 3, ODD_NETWORKS[name], ODD_NETWORKS[name])
    explanation = explain(model, image, ["a"], [None])
    (view,) = explanation.views
    values, made = results(explanation, view), hooked(model, image[0])
    for part, value in zip(explanation.parts, values, strict=True):
        calls = made.get(part.name)
        if (
            calls
            and list(calls[0].shape) == part.shape
            and part.layer in ("Conv2d", "BatchNorm2d", "MaxPool2d", "ReLU")
        ):
            torch.testing.assert_close(value, of_units(part, calls.pop(0)), rtol=1e-5, atol=1e-5, msg=part.id)
    torch.testing.assert_close(values[-2], made["logits"][0], rtol=1e-5, atol=1e-5)
    check_sums(explanation)
    assert to_script(pack(explanation)[0])


def test_how_many_maps_each_map_sees_is_told_beside_those_shown() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 6, 3, groups=2), nn.Flatten(), nn.Linear(96, 2)).eval()
    explanation = explain(model, torch.randn(1, 1, 8, 8), ["a.png"], [None], units=3)
    options = [part.operation.options for part in explanation.parts if part.operation.kind == "convolution"]
    assert [option["groups"] for option in options] == [1, 2]
    assert [option["num_sources"] for option in options] == [[1] * 3, [4] * 3]
    assert sum(len(sources) for sources in options[1]["sources"]) < 3 * 4
