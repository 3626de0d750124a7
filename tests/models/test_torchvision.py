"""torchvision's models against torchvision itself: counts, logits, published weights, and where those come from."""

import hashlib
import http.server
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image
from torch import Tensor, nn
from torchvision import models

import cnncli
from cnncli import checkpoint as checkpoints
from cnncli.config.validation import load_config, validate_options
from cnncli.errors import CheckpointError, CnnError, ConfigError, DataError
from cnncli.experiment import Experiment
from cnncli.models.torchvision.weights import Published
from cnncli.pipeline.preprocess import Preprocess
from cnncli.registry import MODELS
from tests.conftest import Cnn, PictureFolder
from tests.models.maps import on_meta

NAMES = models.list_models(module=models)


def test_the_family_is_all_that_torchvision_classifies_with() -> None:
    assert MODELS.members("torchvision") == [f"torchvision/{name}" for name in sorted(NAMES)]
    assert len(NAMES) >= 80
    assert not any("quantized" in name for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_as_many_as_torchvision_says(name: str) -> None:
    """``num_params`` is what its authors noted; of Inception it counts 3,326,696 that training alone had."""
    network = on_meta(f"torchvision/{name}")
    count = sum(parameter.numel() for parameter in network.parameters())
    noted = models.get_model_weights(name).DEFAULT.meta["num_params"] - 3_326_696 * (name == "inception_v3")
    assert count == noted == vars(MODELS.get(f"torchvision/{name}"))["num_parameters"]


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_in_training_too_there_are_logits_and_nothing_else(name: str) -> None:
    network = on_meta(f"torchvision/{name}", num_classes=7).train()
    assert network(torch.empty(2, 3, 299, 299, device="meta")).shape == (2, 7)


@pytest.mark.parametrize(("name", "side"), [("resnet18", 40), ("mobilenet_v3_small", 64), ("vit_b_16", 32)])
def test_a_step_gives_each_parameter_a_finite_gradient(name: str, side: int) -> None:
    torch.manual_seed(0)
    network = MODELS.get(f"torchvision/{name}")(num_classes=10, image_size=side)
    logits = network(torch.randn(2, 3, side, side))
    assert logits.shape == (2, 10)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize(("name", "side"), [("alexnet", 40), ("vit_b_16", 30), ("maxvit_t", 100), ("inception_v3", 40)])
def test_a_size_that_a_network_does_not_take_is_refused(name: str, side: int) -> None:
    with pytest.raises(ValueError, match=f"it does not take images of {side}×{side}: "):
        on_meta(f"torchvision/{name}", image_size=side)


def test_a_network_sees_colour_and_has_no_other_options() -> None:
    assert validate_options("model", "torchvision/inception_v3", {}) == {
        "num_classes": 1000,
        "in_channels": 3,
        "image_size": 299,
    }
    for wrong in ({"in_channels": 1}, {"weights_of": "x"}, {"aux_logits": True}):
        with pytest.raises(ConfigError):
            validate_options("model", "torchvision/inception_v3", wrong)


# What is published. None of it is here, so a network of torchvision's with drawn weights is published in its place.


def publish(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, base: str = "file://{folder}") -> Path:
    """Have the default weights of a model be random ones in a file of ``folder``; return it."""
    torch.manual_seed(1)
    given = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    state = models.get_model(name, weights=None, **given).state_dict()
    if name.startswith("densenet"):  # as they are called in what was published, before batches were counted
        old = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key): values for key, values in state.items()}
        state = OrderedDict((key, values) for key, values in old.items() if "num_batches_tracked" not in key)
    folder.mkdir(exist_ok=True)
    written = folder / "weights"
    torch.save(state, written)
    path = written.rename(folder / f"{name}-{hashlib.sha256(written.read_bytes()).hexdigest()[:8]}.pth")
    default = models.get_model_weights(name).DEFAULT
    monkeypatch.setattr(default.value, "url", f"{base.format(folder=folder)}/{path.name}")
    return path


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("densenet121", "googlenet")), "squeezenet1_1"]
)
def test_a_picture_gets_the_logits_that_torchvision_gives_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its preprocessing, layers called otherwise, auxiliary ones and GoogLeNet's own normalisation included."""
    path = publish(name, tmp_path, monkeypatch)
    default = models.get_model_weights(name).DEFAULT
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    theirs = models.get_model(name, weights=default, progress=False).eval()
    picture = hopper()
    ours = MODELS.get(f"torchvision/{name}")()
    said = Published(name).give(default.name, path, ours, default.meta["categories"], 224)
    assert said.endswith("is kept: its classes are these")
    with torch.no_grad():
        logits, expected = (
            ours.eval()(preprocess_of(name, default.name)(picture)),
            theirs(default.transforms()(picture)[None]),
        )
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)


def hopper() -> Image.Image:
    """Return a photograph that comes with matplotlib, 512 wide and 600 high."""
    return Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")


def preprocess_of(name: str, weights: str) -> Preprocess:
    wanted = Published(name).preset(weights)
    assert wanted is not None
    return Preprocess(
        *(wanted.size, wanted.channels, wanted.mean, wanted.std, wanted.canvas),
        resize="crop",
        interpolation=wanted.interpolation,
    )


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("resnet18", "IMAGENET1K_V1"),  # 256, of which 224
        ("efficientnet_b0", "IMAGENET1K_V1"),  # the same, bicubic
        ("efficientnet_b4", "IMAGENET1K_V1"),  # 384, of which 380
        ("vit_l_16", "IMAGENET1K_SWAG_E2E_V1"),  # 512
    ],
)
def test_a_picture_is_prepared_as_torchvision_does(name: str, weights: str) -> None:
    """Where the square begins at a whole pixel after scaling; elsewhere torchvision rounds its place."""
    theirs = models.get_model_weights(name)[weights].transforms()(hopper())
    preprocess = preprocess_of(name, weights)
    atol = 1.01 / 255 / min(preprocess.std)
    torch.testing.assert_close(preprocess(hopper())[0], theirs, rtol=0, atol=atol)


def test_another_number_of_classes_has_the_last_layer_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = publish("squeezenet1_1", tmp_path, monkeypatch)
    state, published = torch.load(path, weights_only=True), Published("squeezenet1_1")
    network = MODELS.get("torchvision/squeezenet1_1")(num_classes=3)
    before = {key: values.clone() for key, values in network.state_dict().items()}
    said = published.give("IMAGENET1K_V1", path, network, ["a", "b", "c"], 224)
    assert said == "its last layer, classifier.1, of 1,000 classes is made anew for 3"
    for key, values in network.state_dict().items():
        assert torch.equal(values, (before if key.startswith("classifier.1.") else state)[key]), key
    thousand = MODELS.get("torchvision/squeezenet1_1")()
    said = published.give("IMAGENET1K_V1", path, thousand, [str(number) for number in range(1000)], 64)
    assert said.startswith("its last layer, classifier.1, of 1,000 classes is made anew for 1,000; it has learned from")
    assert said.endswith("from 224×224 pixels, and data.size is 64")


def test_of_a_file_of_ones_own_the_last_layer_is_kept_where_it_fits(tmp_path: Path) -> None:
    torch.manual_seed(1)
    trained, path = models.squeezenet1_1(num_classes=3), tmp_path / "mine.pth"
    torch.save(trained.state_dict(), path)
    network = MODELS.get("torchvision/squeezenet1_1")(num_classes=3)
    said = Published("squeezenet1_1").give(str(path), path, network, ["a", "b", "c"], 224)
    assert "is kept: its 3 classes are taken to be these, in this order; how its images were prepared" in said
    assert all(torch.equal(values, trained.state_dict()[key]) for key, values in network.state_dict().items())
    with pytest.raises(CheckpointError, match=r"mine\.pth: not the weights of torchvision/resnet18 as it is here: "):
        Published("resnet18").give(str(path), path, MODELS.get("torchvision/resnet18")(), ["a"], 224)


class Evil:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_shapes_and_versions_that_cannot_be_are_no_bug_of_ours(tmp_path: Path) -> None:
    path, network = tmp_path / "mine.pth", MODELS.get("torchvision/resnet18")(num_classes=4)
    state = network.state_dict()
    torch.save(state | {"fc.bias": torch.tensor(1.0)}, path)
    said = Published("resnet18").give(str(path), path, network, list("abcd"), 224)
    assert said.startswith("its last layer, fc, of 0 classes is made anew for 4")
    state._metadata["bn1"] = {"version": "x"}
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"mine\.pth: not the weights of torchvision/resnet18"):
        Published("resnet18").give(str(path), path, network, list("abcd"), 224)


def test_a_dry_run_downloads_nothing(tmp_path: Path) -> None:
    notes: list[str] = []
    assert Published("resnet18").fetch("IMAGENET1K_V1", tmp_path, notes.append, may_download=False) is None
    assert notes == ["IMAGENET1K_V1 of resnet18 are not here yet, and not downloaded now: drawn ones stand in for them"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"weight": torch.zeros(1)}}, "something other than the state_dict"),
        ({1: torch.zeros(1)}, "something other than the state_dict"),
        ([1], "something other than the state_dict"),
        ({"weight": Evil()}, "its pickle names"),
        (b"", "not a zip file"),
        (b"\x80\x02}q\x00.", "not a zip file"),  # what torch.load would read: a pickle alone
    ],
)
def test_a_file_of_something_else_is_refused_and_runs_nothing(
    content: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as error:
        Published("squeezenet1_1").give(str(path), path, nn.Sequential(nn.Linear(1, 1)), ["a"], 224)
    assert str(path) in str(error.value)
    assert not capsys.readouterr().out


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve a folder on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    (tmp_path / "served").mkdir()
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_it_downloads_once_whole_and_as_published_or_not_at_all(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = publish("squeezenet1_1", tmp_path / "served", monkeypatch, base=server)
    published, folder, notes = Published("squeezenet1_1"), tmp_path / "cache", list[str]()
    fetched = published.fetch("IMAGENET1K_V1", folder, notes.append)
    assert fetched == folder / path.name
    assert fetched.read_bytes() == path.read_bytes()
    assert notes == [f"IMAGENET1K_V1 of squeezenet1_1 are downloaded from {server}/{path.name} to {folder}"]
    content = path.read_bytes()
    path.unlink()
    assert published.fetch("IMAGENET1K_V1", folder, notes.append) == fetched
    assert len(notes) == 1
    fetched.unlink()
    for problem in ("HTTP Error 404", "invalid hash value"):
        with pytest.raises(DataError) as error:
            published.fetch("IMAGENET1K_V1", folder, notes.append)
        assert problem in str(error.value)
        assert f"{server}/{path.name} could not be downloaded" in str(error.value)
        assert str(error.value).endswith(f"fetch {path.name} in another way and name it: weights: {path.name}")
        assert not list(folder.iterdir())
        path.write_bytes(content[:-1])  # cut short, as by a server that ends


def test_a_download_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish("squeezenet1_1", tmp_path / "served", monkeypatch)

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.hub, "tqdm", interrupted)  # when the connection stands
    with pytest.raises(KeyboardInterrupt):
        Published("squeezenet1_1").fetch("IMAGENET1K_V1", tmp_path / "cache", lambda text: None)
    assert not list((tmp_path / "cache").iterdir())


def test_a_published_file_that_was_changed_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = publish("squeezenet1_1", tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes() + b"\0")
    network = MODELS.get("torchvision/squeezenet1_1")()
    with pytest.raises(CheckpointError, match=f"{path}: damaged: its sha256"):
        Published("squeezenet1_1").give(str(path), path, network, ["a"], 224)


def test_each_published_file_says_what_its_sha256_begins_with() -> None:
    for name in NAMES:
        for weights in Published(name)._members.values():
            assert weights.url.rpartition("-")[2].removesuffix(".pth").isalnum(), weights
    assert "IMAGENET1K_FEATURES" not in Published("vgg16")._members  # whose classifier is NaN


# From a config to a run.


def settled(config: Path, *sets: str) -> Experiment:
    return Experiment.prepare(load_config(config, sets))


@pytest.fixture
def config(tmp_path: Path, picture_folder: PictureFolder) -> Path:
    path = tmp_path / "fine.yaml"
    path.write_text(
        f"data: {{name: image_folder, root: {picture_folder()}, validation: 0.25, test: 0.2, workers: 0, cache: off}}\n"
        "model: {name: torchvision/mobilenet_v3_small}\n"
        "train: {epochs: 1, batch_size: 6}\nruntime: {device: cpu}\n"
    )
    return path


def test_images_are_prepared_as_for_the_weights_but_for_what_the_config_says(config: Path) -> None:
    drawn = settled(config).config
    assert (drawn.data.size, drawn.data.canvas, drawn.data.resize, drawn.data.mean) == (224, 224, "squash", [0.5] * 3)
    given = settled(config, "model.weights=DEFAULT", "model.name=torchvision/vit_b_16")
    assert given.config.model.weights == "IMAGENET1K_V1"  # DEFAULT may be another one day
    assert given.preprocess == preprocess_of("vit_b_16", "IMAGENET1K_V1")
    bicubic = settled(config, "model.weights=DEFAULT", "model.name=torchvision/swin_t").config.data
    assert (bicubic.canvas, bicubic.interpolation) == (232, "bicubic")
    sets = ("size=64", "mean=[0, 0, 0]", "resize=pad", "interpolation=bilinear")
    own = settled(config, "model.weights=DEFAULT", *(f"data.{given}" for given in sets)).preprocess
    assert own == Preprocess(64, 3, (0.0,) * 3, (0.229, 0.224, 0.225), 64, "pad", interpolation="bilinear")


def test_arrays_keep_their_size_and_grey_ones_become_colour(config: Path, tiny_npz: Path) -> None:
    config.write_text(f"data: {{name: npz, path: {tiny_npz}}}\nmodel: {{name: torchvision/resnet18, weights: DEFAULT}}")
    preprocess = settled(config).preprocess
    assert (preprocess.size, preprocess.channels, preprocess.mean) == (12, 3, (0.485, 0.456, 0.406))
    with pytest.raises(ConfigError, match=r"model\.in_channels: must be 3, got 1; data\.channels: 3 makes"):
        settled(config, "model.weights=null")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ["model.weights=IMAGENET1K_V2"],
            "model.weights: 'IMAGENET1K_V2' are no published weights.*did you mean IMAGEN",
        ),
        (["model.weights=resnet"], "known are DEFAULT, IMAGENET1K_V1"),
        (["model.weights=IMAGENET1K_FEATURES", "model.name=torchvision/vgg16"], "are no published weights"),
        (["model.weights=DEFAULT", "model.name=tinyvgg"], "model.weights: tinyvgg has no published weights, as torchv"),
        (["model.weights=absent.pth"], "absent.pth: no such file"),
        (["model.weights=."], "are no published weights"),
    ],
)
def test_weights_that_cannot_be_are_refused(sets: list[str], message: str, config: Path) -> None:
    with pytest.raises(CnnError, match=message):
        settled(config, *sets).fetch_weights()


def test_fine_tuning_resuming_and_using_what_was_trained(cnn: Cnn, config: Path, tmp_path: Path) -> None:
    """What is trained needs its first weights no more: they are removed before it goes on."""
    torch.manual_seed(1)
    weights = tmp_path / "mine.pth"
    torch.save(models.mobilenet_v3_small().state_dict(), weights)
    sets = ("--set", "model.weights=mine.pth", "--set", "data.size=32")
    begun = cnn("train", "-c", config, *sets, "--lr", "1e-9", "--json")
    assert begun.returncode == 0, begun.stderr
    assert f"torchvision/mobilenet_v3_small begins with {weights}; its last layer, classifier.3, of" in begun.stderr
    best = Path(tmp_path, json.loads(begun.stdout)["test"]["checkpoint"])
    saved = checkpoints.load(best)
    first = torch.load(weights, weights_only=True)["features.0.0.weight"]
    torch.testing.assert_close(saved.weights["features.0.0.weight"], first, rtol=0, atol=1e-6)
    assert saved.options == {"num_classes": 3, "in_channels": 3, "image_size": 32}
    assert saved.config["model"]["weights"] == str(weights)
    weights.unlink()
    resumed = cnn("train", "--resume", best.parents[1], "--epochs", 2, "--json")
    assert resumed.returncode == 0, resumed.stderr
    scored = cnn("eval", best, "--json")
    assert scored.returncode == 0, scored.stderr
    network = cnncli.load(best)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    logits: Tensor = network.model(network.preprocess(Image.fromarray(pixels)))
    assert logits.shape == (1, 3)
