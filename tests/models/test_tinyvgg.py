"""Tiny VGG against CNN Explainer's own weights and every number that it shows."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cnncli.models.tinyvgg import TinyVGG
from cnncli.pipeline.preprocess import Preprocess
from tests.models.explainer import EXPLAINER, check, expected, needs_explainer
from tests.models.maps import maps, on_meta

# CNN Explainer's names of the layers, by their places in the model.
LAYERS = ("conv_1_1", "relu_1_1", "conv_1_2", "relu_1_2", "max_pool_1")
LAYERS += ("conv_2_1", "relu_2_1", "conv_2_2", "relu_2_2", "max_pool_2")
PREPROCESS = Preprocess(64, 3, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def explainer() -> TinyVGG:
    """Return the model with CNN Explainer's weights."""
    from safetensors.torch import load_file

    weights = load_file(EXPLAINER / "tinyvgg.safetensors")
    names = {"features.0": "conv_1_1", "features.2": "conv_1_2", "features.5": "conv_2_1", "features.7": "conv_2_2"}
    names["classifier.1"] = "output"
    model = TinyVGG()
    model.load_state_dict(
        {f"{ours}.{kind}": weights[f"{theirs}.{kind}"] for ours, theirs in names.items() for kind in ("weight", "bias")}
    )
    return model.eval()


@needs_explainer
@pytest.mark.parametrize("name", expected())
def test_logits_and_softmax_are_those_of_cnn_explainer(name: str) -> None:
    with torch.no_grad():
        check(name, explainer()(PREPROCESS(EXPLAINER / "images" / name))[0])


@needs_explainer
def test_every_intermediate_tensor_is_that_of_cnn_explainer() -> None:
    model, seen = explainer(), dict[str, Tensor]()
    x = seen["input"] = PREPROCESS(EXPLAINER / "images" / "espresso_1.jpeg")
    with torch.no_grad():
        for name, layer in zip(LAYERS, model.features, strict=True):
            x = seen[name] = layer(x)
        seen["flatten"] = x.flatten(1)
        seen["output"] = model.classifier(x)
    seen["softmax"] = seen["output"].softmax(1)
    with np.load(EXPLAINER / "espresso_activations.npz") as activations:
        assert len(activations.files) == len(seen)
        for name in activations.files:
            theirs = torch.from_numpy(activations[name])
            torch.testing.assert_close(seen[name].squeeze(0), theirs.squeeze(), rtol=0, atol=1e-4, msg=name)


def test_sizes_that_are_promised() -> None:
    """62, 60, 30, 28, 26, 13, 1690."""
    kinds = ("Conv2d", "MaxPool2d", "Flatten", "Linear")
    assert maps(on_meta("tinyvgg"), 3, 64, 64, kinds=kinds) == [
        *((10, 62, 62), (10, 60, 60), (10, 30, 30), (10, 28, 28), (10, 26, 26), (10, 13, 13)),
        *((1690,), (10,)),
    ]


def test_it_equals_its_layers_written_out() -> None:
    torch.manual_seed(0)
    model, x = TinyVGG(), torch.randn(2, 3, 64, 64)
    p, images = dict(model.named_parameters()), x
    for index in (0, 2, 5, 7):
        x = F.relu(F.conv2d(x, p[f"features.{index}.weight"], p[f"features.{index}.bias"]))
        x = F.max_pool2d(x, 2) if index in (2, 7) else x
    expected = F.linear(x.flatten(1), p["classifier.1.weight"], p["classifier.1.bias"])
    torch.testing.assert_close(model(images), expected)


def test_hidden_is_the_width_of_every_convolution() -> None:
    assert [shape[0] for shape in maps(on_meta("tinyvgg", hidden=3), 3, 64, 64, kinds=("Conv2d",))] == [3, 3, 3, 3]
