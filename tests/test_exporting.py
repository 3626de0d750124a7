"""An export does what the network does, says so, and is not there where it does not."""

import inspect
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import cnncli
from cnncli import checkpoint as checkpoints
from cnncli import exporting, launch
from cnncli.checkpoint import Checkpoint
from cnncli.config.validation import load_config
from cnncli.datasets import Pictures
from cnncli.display import Display
from cnncli.errors import CheckpointError, ConfigError, DataError
from cnncli.exporting import FORMATS, Format, export, images, onnx, safetensors
from cnncli.exporting.deployed import Deployed, metadata_of
from cnncli.exporting.images import images_of_run, pixels_of
from cnncli.pipeline.preprocess import Preprocess
from cnncli.registry import MODELS
from cnncli.run import Run
from cnncli.scoring import experiment_of, predict
from cnncli.training.loop import Watch
from tests.networks import TestNet

onnxruntime = pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[1]
LARGEST_SIDE = 80  # models whose own images are larger are tried with ones of 67 pixels
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("alexnet", {"groups": 2, "lrn": True}),
    ("lenet5", {"pool": "avg", "activation": "tanh", "padding": 0}),
    ("lenet5_1998", {"num_classes": 4}),
    ("tinyvgg", {"in_channels": 1, "num_classes": 1}),
]


@pytest.fixture(autouse=True)
def testnet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._found, "testnet", TestNet)


def untrained(name: str, **options: Any) -> Checkpoint:
    """Return a network of small images that was not trained, with odd numbers to normalise by."""
    defaults = {key: parameter.default for key, parameter in inspect.signature(MODELS.get(name)).parameters.items()}
    side = defaults["image_size"] if defaults["image_size"] <= LARGEST_SIDE else 67
    sizes = {"num_classes": 5, "in_channels": defaults["in_channels"], "image_size": side} | options
    torch.manual_seed(0)
    model = MODELS.get(name)(**sizes)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            nn.init.normal_(layer.running_mean)
    channels = sizes["in_channels"]
    mean, std = [0.3 + 0.1 * channel for channel in range(channels)], [0.2 + 0.1 * c for c in range(channels)]
    preprocess = Preprocess(sizes["image_size"], channels, tuple(mean), tuple(std)).to_dict()
    classes = ["naïve", '"b"', "c\u202e", *map(str, range(3, 10))][: sizes["num_classes"]]
    return Checkpoint(name, sizes, model.state_dict(), classes, preprocess, config={}, state={})


def pixels_for(checkpoint: Checkpoint, count: int = 5) -> Tensor:
    shape = (count, *Deployed(checkpoint).image_shape)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def probabilities(checkpoint: Checkpoint, pixels: Tensor) -> Tensor:
    """Compute them as evaluation does."""
    with torch.inference_mode():
        normalised = Preprocess.from_dict(checkpoint.preprocess).normalise(pixels)
        return checkpoint.build()(normalised).softmax(1)


EVERY = [(name, {}) for name in MODELS.names()] + VARIANTS
CASES = [pytest.param(name, options, marks=pytest.mark.slow) for name, options in EVERY]  # seconds each


@pytest.mark.parametrize(("name", "options"), [("testnet", {"in_channels": 3}), *CASES])
def test_onnxruntime_gets_the_probabilities_of_every_model(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    checkpoint, path = untrained(name, **options), tmp_path / "a.onnx"
    pixels = pixels_for(checkpoint)
    agreement = export(checkpoint, "onnx", path, pixels)
    assert (agreement.num_images, agreement.num_different_labels) == (5, 0)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    expected = probabilities(checkpoint, pixels)
    for count in (1, 3, 5):
        (found,) = session.run(None, {"image": pixels[:count].numpy()})
        np.testing.assert_allclose(found, expected[:count].numpy(), rtol=0, atol=1e-5)
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("image", "tensor(uint8)", ["N", *pixels.shape[1:]])
    assert (made.name, made.type, made.shape) == ("probabilities", "tensor(float)", ["N", len(checkpoint.classes)])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == checkpoint.classes
    assert json.loads(metadata["preprocess"]) == checkpoint.preprocess
    assert (metadata["model"], metadata["cnncli"]) == (name, cnncli.__version__)
    assert os.fsencode(Path.cwd()) not in path.read_bytes()  # no paths of the machine that it was made on


def test_torch_export_gets_the_probabilities_with_batch_normalisation(tmp_path: Path) -> None:
    checkpoint, path = untrained("testnet"), tmp_path / "a.pt2"
    pixels = pixels_for(checkpoint)
    export(checkpoint, "torch-export", path, pixels)
    told = {"classes": ""}
    run = torch.export.load(path, extra_files=told).module()
    for count in (1, 3, 5):
        torch.testing.assert_close(run(pixels[:count]), probabilities(checkpoint, pixels[:count]))
    assert json.loads(told["classes"]) == checkpoint.classes
    assert os.fsencode(Path.cwd()) not in path.read_bytes()
    with pytest.raises(CheckpointError, match=r"not a checkpoint of cnncli, but a file of torch\.export"):
        checkpoints.load(path)


def test_safetensors_holds_the_weights_and_what_is_to_be_known(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors")
    checkpoint, path = untrained("testnet"), tmp_path / "a.safetensors"
    turned = {
        name: weight.to(memory_format=torch.channels_last) if weight.ndim == 4 else weight  # as training has them
        for name, weight in checkpoint.weights.items()
    }
    checkpoint = replace(checkpoint, weights=turned)
    export(checkpoint, "safetensors", path, pixels_for(checkpoint))
    with library.safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["classes"]) == checkpoint.classes
        assert set(file.keys()) == checkpoint.weights.keys()
        for name in file.keys():  # noqa: SIM118  # it is no mapping
            assert torch.equal(file.get_tensor(name), checkpoint.weights[name])
    with pytest.raises(CheckpointError, match="not a checkpoint of cnncli, but weights in safetensors"):
        checkpoints.load(path)


def test_evaluation_and_onnx_agree_on_digits(tmp_path: Path) -> None:
    """Two hundred of MNIST, by a network that has seen two hundred others."""
    run = Run.at(tmp_path / "run")
    sets = ["data.limit=20", "train.epochs=2", "train.ema=0.9", "runtime.device=cpu"]
    launch.train(load_config("lenet5", sets), run, Display())
    checkpoint, path = checkpoints.load(run.last), tmp_path / "lenet5.onnx"
    split, pixels = images_of_run(checkpoint)
    assert (split, len(pixels)) == ("test", 200)
    agreement = export(checkpoint, "onnx", path, pixels)
    assert agreement.num_images == 200
    experiment = experiment_of(checkpoint)
    loader = experiment.eval_loader("test")
    assert loader is not None
    _, predictions = predict(experiment, checkpoint, loader, Watch())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": loader.pixels(predictions.rows).numpy()})
    expected = predictions.probabilities.numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert (found.argmax(1) == expected.argmax(1)).all()
    assert len(set(found.argmax(1))) > 1
    metadata = session.get_modelmeta().custom_metadata_map
    assert float(metadata["val_accuracy"]) == checkpoint.history[-1]["val"]["accuracy"]


@pytest.fixture
def testnet_checkpoint() -> Checkpoint:
    return untrained("testnet")


@pytest.mark.parametrize("other", [0.001, float("nan")])
def test_what_disagrees_is_not_left_behind(
    other: float, testnet_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(path: Path, deployed: Deployed) -> Callable[[Tensor], Tensor]:
        assert path.stat().st_size > 0
        return lambda image: deployed(image) + other

    path = tmp_path / "a.safetensors"
    path.write_text("of an earlier export")
    monkeypatch.setitem(FORMATS, "safetensors", Format(".safetensors", safetensors.encode, opened))
    with pytest.raises(
        CheckpointError, match="an export that disagrees: its probabilities for 5 images are up to"
    ) as e:
        export(testnet_checkpoint, "safetensors", path, pixels_for(testnet_checkpoint))
    assert str(path) in str(e.value)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "of an earlier export"


def test_a_batch_of_one_is_compared_by_itself(testnet_checkpoint: Checkpoint) -> None:
    """A graph that took its example's batch for the only one there is would go wrong there alone."""
    deployed = Deployed(testnet_checkpoint)
    with pytest.raises(CheckpointError, match="disagrees"):
        exporting.compare(deployed, lambda image: deployed(image) * (len(image) > 1), pixels_for(testnet_checkpoint))


def test_a_network_that_cannot_be_traced_is_an_error_that_names_it(
    testnet_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: TestNet, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits if logits.sum() > 0 else -logits  # which no graph can hold

    monkeypatch.setattr(TestNet, "forward", forward)
    with pytest.raises(CheckpointError, match="testnet cannot be written as torch-export: "):
        export(testnet_checkpoint, "torch-export", tmp_path / "a.pt2", pixels_for(testnet_checkpoint))
    assert list(tmp_path.iterdir()) == []


def test_an_onnx_file_without_its_data_is_said_to_lack_them(testnet_checkpoint: Checkpoint, tmp_path: Path) -> None:
    library = pytest.importorskip("onnx")
    export(testnet_checkpoint, "onnx", tmp_path / "whole.onnx", pixels_for(testnet_checkpoint))
    path, pixels = tmp_path / "split.onnx", pixels_for(testnet_checkpoint)
    library.save_model(library.load(tmp_path / "whole.onnx"), path, save_as_external_data=True, location="split.data")
    expected = Deployed(testnet_checkpoint)(pixels)
    torch.testing.assert_close(onnx.opened(path)(pixels), expected)
    (tmp_path / "split.data").unlink()
    with pytest.raises(CheckpointError, match=r"an ONNX file without its data: its weights are in split\.data"):
        onnx.opened(path)
    with pytest.raises(CheckpointError, match="not a checkpoint of cnncli, but an ONNX file"):
        checkpoints.load(path)
    path.write_bytes(b"text")
    with pytest.raises(CheckpointError, match="not an ONNX file"):
        onnx.opened(path)


def test_weights_beyond_what_onnx_holds_are_refused(
    testnet_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "MAX_BYTES", 1000)
    with pytest.raises(ConfigError, match="use --to torch-export"):
        onnx.encode(Deployed(testnet_checkpoint), {})


def test_metadata_state_the_accuracy_of_just_these_weights(testnet_checkpoint: Checkpoint) -> None:
    row = {"epoch": 2, "train": {"loss": 1.0, "accuracy": 0.5}, "val": {"loss": 0.5, "accuracy": 0.75}}

    def stated(*history: Any, **progress: int) -> str | None:
        return metadata_of(replace(testnet_checkpoint, history=list(history), state={"progress": progress})).get(
            "val_accuracy"
        )

    assert stated(row, epoch=2, position=0) == "0.75"
    assert stated(row, epoch=2, position=16) is None  # a part of the next epoch came after it
    assert stated(row, epoch=3, position=0) is None
    assert stated({**row, "val": None}, epoch=2, position=0) is None
    assert stated({**row, "val": 1}, epoch=2, position=0) is None  # as a stranger may have it
    assert stated({**row, "val": {"loss": 1.0}}, epoch=2, position=0) is None
    assert stated(epoch=0, position=0) is None
    assert stated() is None


def test_the_images_compared_on_are_those_that_the_run_kept_for_testing(
    folder_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = checkpoints.load(folder_run.best)
    listed = experiment_of(checkpoint).splits.load("test")
    assert isinstance(listed, Pictures)
    preprocess = Preprocess.from_dict(checkpoint.preprocess)
    one_by_one = torch.stack([preprocess.pixels(listed.path(row)) for row in range(len(listed))])
    split, pixels = images_of_run(checkpoint)
    assert split == "test"
    assert torch.equal(pixels, one_by_one)
    folder = tmp_path / "mine"
    folder.mkdir()
    for row in range(3):
        (folder / f"{row}.jpg").write_bytes(listed.path(row).read_bytes())
    (folder / "notes.txt").write_text("no picture")
    assert torch.equal(pixels_of([folder, listed.path(0)], preprocess), one_by_one[[0, 1, 2, 0]])
    monkeypatch.setattr(images, "MAX_IMAGES", 2)
    assert torch.equal(images_of_run(checkpoint)[1], one_by_one[[0, len(listed) // 2]])  # spread over all classes


def test_broken_pictures_are_left_out_and_gone_ones_are_an_error_that_says_what_to_do(
    folder_run: Run, picture_folder: Callable[..., Path]
) -> None:
    checkpoint = checkpoints.load(folder_run.best)
    root = picture_folder()  # the same names
    moved = replace(checkpoint, config={**checkpoint.config, "data": {**checkpoint.config["data"], "root": str(root)}})
    _, whole = images_of_run(moved)
    listed = experiment_of(moved).splits.load("test")
    assert isinstance(listed, Pictures)
    listed.path(0).write_bytes(b"text")
    assert torch.equal(images_of_run(moved)[1], whole[1:])
    for row in range(len(listed)):
        listed.path(row).write_bytes(b"text")
    with pytest.raises(DataError, match=r"none of the pictures can be read\nname pictures .*: --images PATH"):
        images_of_run(moved)
    listed.path(0).unlink()
    with pytest.raises(DataError, match=r"are gone.*\nname pictures .*: --images PATH"):
        images_of_run(moved)
    with pytest.raises(DataError, match=r"says of no images that it was trained on; .*--images PATH"):
        images_of_run(replace(checkpoint, config={}))


def test_pictures_that_are_none_are_named(tmp_path: Path) -> None:
    preprocess = Preprocess(8, 3, (0.5,) * 3, (0.5,) * 3)
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(DataError, match=r"a\.png: not a picture"):
        pixels_of([tmp_path], preprocess)
    with pytest.raises(DataError, match=r"b\.png: No such file"):
        pixels_of([tmp_path / "b.png"], preprocess)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no picture in this folder"):
        pixels_of([tmp_path / "empty"], preprocess)


def test_format_and_file_follow_from_each_other(tmp_path: Path) -> None:
    best = tmp_path / "best.pt"
    best.write_text("")

    def target(name: str | None = None, output: str | None = None) -> tuple[str, str]:
        name, path = exporting.target_of(best, name, output and tmp_path / output)
        return name, path.relative_to(tmp_path).as_posix()

    assert target("torch-export") == ("torch-export", "best.pt2")
    assert target(output="a.ONNX") == ("onnx", "a.ONNX")
    assert target("safetensors", "a.bin") == ("safetensors", "a.bin")
    for name, output, message in (
        (None, None, r"--to onnx \| torch-export \| safetensors"),
        (None, "a.bin", r"ends in none of \.onnx, \.pt2, \.safetensors"),
        ("onnx", "a.pt2", "named as torch-export, but --to onnx"),
        ("onnx", "best.pt", "is what it is made of"),
        ("onnx", ".", "is a folder"),
        ("onnx", "nowhere/a.onnx", "there is no folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            target(name, output)


@pytest.mark.parametrize(("library", "name"), [("onnxruntime", "onnx"), ("torch.export", "torch-export")])
def test_the_lines_of_the_readme_work_without_cnncli(
    library: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (lines,) = [block for block in blocks if library in block]
    assert "cnncli" not in lines
    assert len([line for line in lines.splitlines() if line]) <= 10
    checkpoint = untrained("lenet5", num_classes=10)
    preprocess = Preprocess.from_dict(checkpoint.preprocess)
    monkeypatch.chdir(tmp_path)
    export(checkpoint, name, Path(f"lenet5{FORMATS[name].suffix}"), pixels_for(checkpoint))
    shades = np.random.default_rng(0).integers(0, 256, (90, 100), dtype=np.uint8)
    Image.fromarray(shades).save("digit.png")
    exec(lines, {})
    expected = probabilities(checkpoint, preprocess.pixels("digit.png")[None])[0]
    label, probability = capsys.readouterr().out.split()
    assert label == checkpoint.classes[int(expected.argmax())]
    assert float(probability) == pytest.approx(float(expected.max()), abs=1e-3)  # Pillow scales within 1 of 255
