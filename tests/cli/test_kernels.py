"""``cnn kernels``: the table, the picture, the numbers, and what cannot be."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from cnncli import checkpoint as checkpoints
from cnncli.cli import app
from cnncli.errors import CheckpointError, CnnError, ConfigError
from cnncli.models import Channels, NumClasses, Side
from cnncli.registry import MODELS
from tests.conftest import Cnn


class Dense(nn.Module):
    """A network without a convolution."""

    def __init__(self, num_classes: NumClasses = 2, in_channels: Channels = 3, image_size: Side = 28) -> None:
        super().__init__()
        self.dense = nn.Linear(in_channels * image_size**2, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.dense(images.flatten(1))


def write(path: Path, model: str, in_channels: int = 3, size: int = 28, **options: Any) -> Path:
    """Write a checkpoint of an untrained network with two classes."""
    torch.manual_seed(0)
    options |= {"num_classes": 2, "in_channels": in_channels, "image_size": size}
    checkpoint = checkpoints.Checkpoint(
        model=model,
        options=options,
        weights=MODELS.get(model)(**options).state_dict(),
        classes=["a", "b"],
        preprocess={"size": size, "channels": in_channels, "mean": [0.5] * in_channels, "std": [0.25] * in_channels},
        config={},
        state={},
    )
    checkpoints.save(checkpoint, path)
    return path


def printed(*arguments: object) -> str:
    """Return what the command prints; raises what it raises."""
    result = CliRunner().invoke(app, ["kernels", *map(str, arguments)], env={"COLUMNS": "100"})
    if isinstance(result.exception, CnnError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_table_lists_the_convolutions(tmp_path: Path) -> None:
    lines = printed(write(tmp_path / "a.pt", "lenet5_1998", in_channels=1)).splitlines()
    assert lines[0].split() == ["layer", "maps×channels×kernel", "kernels", "min", "max", "mean", "std"]
    assert [line.split()[:2] for line in lines[1:]] == [["features.1", "6×1×5×5"], ["features.5", "16×6×5×5"]]
    assert "60 of 96" in lines[2]


def test_long_names_keep_their_ends(tmp_path: Path) -> None:
    out = printed(write(tmp_path / "a.pt", "torchvision/mobilenet_v2", size=32))
    assert max(map(len, out.splitlines())) <= 100
    assert "features.17.conv.1.0" in out
    assert "-0.0000" not in out


def test_the_first_layer_is_drawn(tmp_path: Path) -> None:
    target = tmp_path / "kernels.png"
    assert printed(write(tmp_path / "a.pt", "tinyvgg"), "-o", target) == f"layer    features.0\npicture  {target}\n"
    with Image.open(target) as picture:
        assert picture.format == "PNG"
        assert len(np.unique(np.array(picture.convert("RGB")).reshape(-1, 3), axis=0)) >= 90  # 10 kernels of 9 colours


def test_what_is_left_out_of_a_picture_is_said(tmp_path: Path) -> None:
    """tinyvgg with 40 maps: 32 are shown, of as many channels."""
    path, target = write(tmp_path / "a.pt", "tinyvgg", hidden=40), tmp_path / "kernels.png"
    out = printed(path, "--layer", "features.2", "-o", target)
    assert out.splitlines()[1] == "left out as the weakest: 8 of 40 maps and 8 of 40 channels"
    picture = json.loads(printed(path, "--layer", "features.2", "-o", target, "--json"))["picture"]
    assert (picture["path"], picture["layer"]) == (str(target), "features.2")
    assert (len(picture["maps"]), len(picture["channels"])) == (32, 32)
    assert (picture["num_maps"], picture["num_channels"]) == (40, 40)


def test_numbers_are_numpys(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", "lenet5_1998", in_channels=1)
    plain = json.loads(printed(path, "--json"))
    assert (list(plain), plain["model"], plain["picture"]) == (["model", "layers", "picture"], "lenet5_1998", None)
    weights = checkpoints.load(path).weights["features.5.weight"].double().numpy()
    c3 = plain["layers"][1]
    assert list(c3) == ["name", "shape", "num_kernels", "min", "max", "mean", "std", "norms"]
    assert (c3["name"], c3["shape"], c3["num_kernels"]) == ("features.5", [16, 6, 5, 5], 60)
    for name in ("min", "max", "mean", "std"):
        assert c3[name] == pytest.approx(getattr(weights, name)())
    each = np.sqrt((weights**2).sum((1, 2)))
    ends = np.cumsum([3] * 6 + [4] * 9 + [6])  # connections a map, of the paper's table
    assert c3["norms"] == pytest.approx([np.sqrt((part**2).sum()) for part in np.split(each, ends[:-1])], rel=1e-5)

    (alone,) = json.loads(printed(path, "--json", "--layer", "features.5"))["layers"]
    assert [len(norms) for norms in alone["kernel_norms"]] == [len(seen) for seen in alone["sources"]]
    assert list(chain(*alone["kernel_norms"])) == pytest.approx(each, rel=1e-5)
    assert alone["sources"][6] == [0, 1, 2, 3]


def test_an_unknown_layer_is_told_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", "lenet5", in_channels=1)
    for name, hint in (("feature.3", "; did you mean features.3?"), ("x", "")):
        with pytest.raises(ConfigError) as error:
            printed(path, "--layer", name)
        assert str(error.value).splitlines() == [
            f"--layer {name}: no convolution of this network{hint}",
            "its convolutions are features.0, features.3",
        ]


def test_a_network_without_convolutions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._found, "dense", Dense)
    path = write(tmp_path / "a.pt", "dense")
    with pytest.raises(CheckpointError, match=r"a\.pt: dense has no convolution, and so no kernels to show"):
        printed(path)


def test_errors_have_their_codes(cnn: Cnn, tmp_path: Path) -> None:
    write(tmp_path / "a.pt", "lenet5", in_channels=1)
    for arguments, code, message in (
        (("b.pt",), 4, "no checkpoint at b.pt"),
        (("a.pt", "-o", "a.jpg"), 2, "--output a.jpg: the picture is a PNG"),
        (("a.pt", "-o", "nowhere/a.png"), 2, "--output nowhere/a.png: there is no folder nowhere"),
        (("a.pt", "--layer", "features.1"), 2, "--layer features.1: no convolution of this network"),
    ):
        done = cnn("kernels", *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]
