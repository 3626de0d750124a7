"""What is frozen, and stays so."""

import pytest
from torch import nn

from cnncli.models.lenet5 import LeNet5
from cnncli.models.lenet5_1998 import LeNet5Of1998
from cnncli.training.freezing import begin_training, freeze
from tests.networks import TestNet


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["features"], ["features.0.weight", "features.0.bias", "features.3.weight", "features.3.bias"]),
        (["features.3"], ["features.3.weight", "features.3.bias"]),
        (["features.3.bias", "features.0"], ["features.0.weight", "features.0.bias", "features.3.bias"]),
        (["features.?.weight"], ["features.0.weight", "features.3.weight"]),
        (
            ["*.bias"],
            [f"{name}.bias" for name in ("features.0", "features.3", *map("classifier.{}".format, (1, 3, 5)))],
        ),
        (["classifier.[13]"], [f"classifier.{name}" for name in ("1.weight", "1.bias", "3.weight", "3.bias")]),
        ([], []),
    ],
)
def test_a_pattern_names_parameters_or_what_holds_them(patterns: list[str], names: list[str]) -> None:
    model = LeNet5()
    assert freeze(model, patterns) == names
    assert [name for name, parameter in model.named_parameters() if not parameter.requires_grad] == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("feature", r"'feature' names no parameters; did you mean features\?"),
        ("head", r"'head' names no parameters; known are classifier, features$"),
        ("features.1", r"'features.1' names no parameters; did you mean features.3 or features.0\?"),  # a ReLU
        ("features.0.weights", r"'features.0.weights' names no parameters; did you mean features.0.weight"),
        ("a.b.c.d", r"'a.b.c.d' names no parameters$"),
        ("*", "leaves nothing to train"),
    ],
)
def test_what_names_nothing_or_all_is_an_error(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        freeze(LeNet5(), [pattern])


def test_what_is_never_trained_does_not_count_as_trained() -> None:
    """The codes of the paper's output layer."""
    with pytest.raises(ValueError, match="leaves nothing to train"):
        freeze(LeNet5Of1998(), ["features", "classifier.[13]"])


def test_batch_normalisation_that_is_frozen_alone_stays_in_evaluation() -> None:
    model = nn.Sequential(TestNet(), nn.ModuleDict({"plain": nn.BatchNorm2d(1, affine=False), "trained": TestNet()}))
    freeze(model, ["0.features"])
    begin_training(model)
    idle = [name for name, module in model.named_modules() if not module.training]
    assert idle == ["0.features.1"]  # not its dropout, nor what has no parameters of its own and is in no frozen part
    freeze(model, ["1"])
    begin_training(model)
    idle = [name for name, module in model.named_modules() if not module.training]
    assert idle == ["0.features.1", "1.plain", "1.trained.features.1"]
