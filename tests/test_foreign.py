"""Weights of other programs: read, fitted to a model, and those that are not refused."""

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cnncli import checkpoint as checkpoints
from cnncli import foreign
from cnncli.errors import CheckpointError, ConfigError, MachineError
from cnncli.foreign import By, Target, checkpoint_of, match, read_weights
from cnncli.models.lenet5 import LeNet5
from cnncli.registry import MODELS
from tests.networks import TestNet

CLASSES = ["cat", "dog", "owl"]
UNWRAPPED = "the weights are what the file calls {}; the rest of it is left out"


def unheard(text: str) -> None:
    raise AssertionError(text)


def weights_of_lenet5(**sizes: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return LeNet5(**{"num_classes": 3, **sizes}).state_dict()


def target(model: str = "lenet5", **options: Any) -> Target:
    return Target.of(model, options, len(CLASSES), None)


def wrapped(key: str) -> Callable[[dict[str, Tensor]], dict[str, Any]]:
    return lambda weights: {"epoch": 3, key: weights, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}}


def prefixed(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Any]]:
    return lambda weights: {prefix + name: tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        (dict, []),
        (wrapped("state_dict"), [UNWRAPPED.format("state_dict")]),
        (
            wrapped("model_state_dict"),
            [UNWRAPPED.format("model_state_dict")],
        ),
        (wrapped("model"), [UNWRAPPED.format("model")]),
        (prefixed("module."), ["all names begin with module. in the file, which is left off"]),
        (prefixed("_orig_mod.module."), ["all names begin with _orig_mod.module. in the file, which is left off"]),
    ],
)
def test_what_torch_saves_is_read_whatever_is_around_it(
    change: Callable[[dict[str, Tensor]], Any], notes: list[str], tmp_path: Path
) -> None:
    weights, said = weights_of_lenet5(), list[str]()
    torch.save(change(weights), tmp_path / "a.pth")
    read = read_weights(tmp_path / "a.pth", said.append)
    assert said == notes
    assert list(read) == list(weights)
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_a_prefix_that_not_all_names_have_stays() -> None:
    weights = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert list(foreign._without_prefix(weights, unheard)) == list(weights)
    weights = {"module." * 10**6 + name: torch.zeros(1) for name in "ab"}  # at once
    assert list(foreign._without_prefix(weights, lambda text: None)) == ["a", "b"]


def test_safetensors_are_read_in_the_order_of_layers(tmp_path: Path) -> None:
    """The file has 10 before 2, and a layer's bias before its weight."""
    layers = [nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)) for _ in range(12)]
    weights = nn.Sequential(*layers).state_dict()
    save_file(weights, tmp_path / "a.safetensors")
    assert list(read_weights(tmp_path / "a.safetensors", unheard)) == list(weights)


def test_a_layer_of_many_digits_is_no_bug_of_ours(tmp_path: Path) -> None:
    weights = {f"{'9' * 5000}.weight": torch.zeros(1), "10.weight": torch.zeros(1), "02.weight": torch.zeros(1)}
    save_file(weights, tmp_path / "a.safetensors")
    assert [len(name) for name in read_weights(tmp_path / "a.safetensors", unheard)] == [9, 9, 5007]


def test_without_safetensors_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MachineError, match=r"pip install 'cnncli\[export\]'"):
        read_weights(tmp_path / "a.safetensors", unheard)


@pytest.mark.parametrize("by", ["name", "order"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_the_network_answers_as_it_did_elsewhere(by: By, dtype: torch.dtype, tmp_path: Path) -> None:
    weights, notes = weights_of_lenet5(), list[str]()
    given = {
        name if by == "name" else f"layer{i}": tensor.to(dtype) for i, (name, tensor) in enumerate(weights.items())
    }
    pairs = match(target(), given, by)
    assert list(pairs) == list(weights)
    imported = checkpoint_of(target(), CLASSES, target().preprocess(None, [0.5], [0.25]), given, pairs, notes.append)
    kind = str(dtype).removeprefix("torch.")
    assert notes == ([] if dtype == torch.float32 else [f"converted to float32: 10 tensors of {kind}"])
    checkpoints.save(imported, tmp_path / "a.pt")
    network = checkpoints.load_network(tmp_path / "a.pt")
    assert network.classes == CLASSES
    elsewhere = LeNet5(num_classes=3)
    elsewhere.load_state_dict({name: tensor.to(dtype) for name, tensor in weights.items()})
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    with torch.no_grad():
        expected = elsewhere((images / 255 - 0.5) / 0.25)
        torch.testing.assert_close(network.model(network.preprocess.normalise(images)), expected)


def test_all_that_does_not_fit_is_said_at_once() -> None:
    weights = weights_of_lenet5()
    weights["features.0.w\nx"] = weights.pop("features.0.weight")
    weights["classifier.5.weight"] = torch.zeros(3, 85)
    weights["classifier.5.bias"] = torch.zeros(3, dtype=torch.int32)
    with pytest.raises(CheckpointError) as error:
        match(target(), weights, "name")
    assert str(error.value).splitlines() == [
        "the weights do not fit lenet5:",
        "  missing: features.0.weight [6, 1, 5, 5]",
        "  unexpected: features.0.w\\nx [6, 1, 5, 5]",
        "  of another shape: classifier.5.weight is [3, 85] in the file, not [3, 84]",
        "  of another shape: classifier.5.bias is int32 [3] in the file, not [3]",
    ]
    with pytest.raises(CheckpointError) as error:
        match(target(), weights_of_lenet5() | {f"a{i}": torch.zeros(1) for i in range(30)}, "order")
    lines = str(error.value).splitlines()
    assert lines[1:3] == ["  unexpected: a0 [1]", "  unexpected: a1 [1]"]
    assert lines[-1] == "  unexpected: 10 more"


@pytest.mark.parametrize(
    ("weights", "hint"),
    [
        ({f"a{i}": tensor for i, tensor in enumerate(weights_of_lenet5().values())}, "names: --match order"),
        (weights_of_lenet5(in_channels=3), "they are of images with 3 channels: --set in_channels=3"),
        (weights_of_lenet5(num_classes=5), "they tell 5 classes apart, but --classes names 3"),
    ],
)
def test_what_would_fit_is_said(weights: dict[str, Tensor], hint: str) -> None:
    with pytest.raises(CheckpointError) as error:
        match(target(), weights, "name")
    assert str(error.value).splitlines()[-1].endswith(hint)


def test_counts_of_batches_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in files of torch before 0.4.1, which had none."""
    monkeypatch.setitem(MODELS._found, "testnet", TestNet)
    weights = TestNet(num_classes=3).state_dict()
    del weights["features.1.num_batches_tracked"]
    aim = target("testnet")
    imported = checkpoint_of(
        aim, CLASSES, aim.preprocess(None, [0.0], [1.0]), weights, match(aim, weights, "order"), unheard
    )
    assert imported.weights["features.1.num_batches_tracked"] == 0
    assert list(imported.weights) == list(TestNet().state_dict())


def test_what_a_tensor_is_a_view_of_is_left_behind(tmp_path: Path) -> None:
    weights = weights_of_lenet5()
    weights["classifier.5.bias"] = torch.zeros(10**7)[:3]
    aim = target()
    pairs = match(aim, weights, "name")
    imported = checkpoint_of(aim, CLASSES, aim.preprocess(None, [0.0], [1.0]), weights, pairs, unheard)
    checkpoints.save(imported, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 4 * 70_000


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    weights = weights_of_lenet5() | {"classifier.5.bias": torch.full((3,), number, dtype=torch.float64)}
    with pytest.raises(CheckpointError, match=r"not finite, or not in float32: in classifier\.5\.bias"):
        checkpoint_of(
            target(), CLASSES, target().preprocess(None, [0.0], [1.0]), weights, match(target(), weights, "name"), print
        )


def test_sizes_are_settled_or_contradict_each_other() -> None:
    assert target().options["num_classes"] == 3
    assert Target.of("lenet5", {}, 3, 32).options["image_size"] == 32
    preprocess = target("tinyvgg").preprocess(None, [0.5], [0.1, 0.2, 0.3], canvas=80, resize="crop")
    assert (preprocess.size, preprocess.side, preprocess.resize) == (64, 80, "crop")
    assert (preprocess.mean, preprocess.std) == ((0.5,) * 3, (0.1, 0.2, 0.3))
    for make, message in (
        (lambda: target(num_classes=4), "--set num_classes=4: --classes names 3"),
        (lambda: Target.of("lenet5", {"image_size": 28}, 3, 32), "--set image_size=28: --size is 32"),
        (lambda: target(hidden=4), "model.hidden: unknown option of lenet5"),
        (lambda: target("lenet6"), "unknown model 'lenet6'; did you mean lenet5"),
        (lambda: target(image_size=4).parameters(), "lenet5: images of 4×4 are too small"),
        (lambda: target().preprocess(None, [0.1, 0.2], [1.0]), "--mean: 2 numbers, but the network takes 1 channel"),
        (lambda: target().preprocess(None, [0.1], [0.0]), "these images cannot be: std.0: Input should be greater"),
        (lambda: target().preprocess(None, [0.1], [1.0], canvas=20), "canvas is no smaller than size"),
    ):
        with pytest.raises(ConfigError) as error:
            make()
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (
            nn.Linear(2, 2),
            "torch.nn.modules.linear Linear, which no checkpoint needs; save the weights alone",
        ),
        ([torch.zeros(1)], "holds no tensors by name; save the weights alone"),
        ({}, "holds no tensors by name"),
        ({"epoch": 3, "a": torch.zeros(1)}, "holds epoch, a int, among the weights"),
        ({"a": torch.zeros(1).expand(10**12)}, "of which 1 numbers are stored"),
    ],
)
def test_what_holds_no_weights_says_what_to_save(saved: Any, message: str, tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as error:
        read_weights(tmp_path / "a.pt", unheard)
    assert str(error.value).startswith(f"{tmp_path / 'a.pt'}: ")
    assert message in str(error.value)


def of_old(path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=False)


def of_our_own(path: Path) -> None:
    weights = weights_of_lenet5()
    preprocess = target().preprocess(None, [0.0], [1.0])
    checkpoints.save(checkpoint_of(target(), CLASSES, preprocess, weights, {n: n for n in weights}, unheard), path)


def cut_short(path: Path) -> None:
    torch.save(weights_of_lenet5(), path)
    path.write_bytes(path.read_bytes()[:-1000])


def header(text: bytes, length: int | None = None) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(struct.pack("<Q", length or len(text)) + text)


ENDLESS = b'{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 4]}}'


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (of_old, "write one that it wrote before 2020 again: torch.save(torch.load(OLD, weights_only=True), NEW)"),
        (of_our_own, "is a checkpoint of cnncli already"),
        (cut_short, "cannot be read: "),
        (lambda path: path.write_bytes(b""), "neither a safetensors file nor"),
        (lambda path: path.write_text("a letter"), "neither a safetensors file nor"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: None, "No such file or directory"),
        (header(b"{", 2**60), "not a safetensors file: "),
        (header(b'{"a": 1}'), "not a safetensors file: "),
        (header(ENDLESS), "not a safetensors file: "),
        (header(b"{}"), "the weights do not fit lenet5:\n  missing: "),
    ],
)
def test_a_file_that_is_none_is_refused(write: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    write(tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as error:
        match(target(), read_weights(tmp_path / "a.pt", unheard), "name")
    assert message in str(error.value)
