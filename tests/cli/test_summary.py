"""``cnn summary``, ``cnn models`` and ``cnn curves``, called in this process."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from cnncli.cli import app
from cnncli.commands.models import _row
from cnncli.errors import CnnError, ConfigError
from cnncli.registry import MODELS


def printed(*arguments: object) -> str:
    """Return what a command prints; raises what it raises."""
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "100"})
    if isinstance(result.exception, CnnError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_json_holds_the_names_that_others_rely_on() -> None:
    plain: dict[str, Any] = json.loads(printed("summary", "alexnet", "--json"))
    assert list(plain) == ["model", "input_size", "num_classes", "params", "macs", "layers"]
    assert (plain["model"], plain["input_size"], plain["num_classes"]) == ("alexnet", [3, 227, 227], 1000)
    assert plain["params"] == {
        "total": 62_378_344,
        "trainable": 62_378_344,
        "weights": 62_367_776,
        "biases": 10_568,
    }
    assert plain["macs"] == sum(layer["macs"] for layer in plain["layers"])
    assert [set(layer) for layer in plain["layers"]] == [
        {
            *("name", "kind", "input_shape", "output_shape", "formula", "weights", "biases", "macs"),
            *("dense_weights", "receptive_field"),
        }
    ] * len(plain["layers"])


@pytest.mark.parametrize("name", MODELS.names())
def test_the_table_fits_into_100_columns_and_has_a_row_a_layer(name: str) -> None:
    lines = printed("summary", name).splitlines()
    assert max(map(len, lines)) <= 100
    layers = json.loads(printed("summary", name, "--json"))["layers"]
    assert [line.split()[:2] for line in lines[1 : 1 + len(layers)]] == [[row["name"], row["kind"]] for row in layers]
    assert f"{MODELS.get(name).num_parameters:,}".replace("60,000", "60,840") in printed("summary", name)


def test_sizes_and_options_are_taken() -> None:
    text = printed("summary", "tinyvgg", "--set", "hidden=20", "--input", "1x40x40", "--batch-size", 7)
    assert "tinyvgg: 1×40×40 in, 10 classes out" in text
    assert "20×38×38" in text
    assert "at batch 7" in text


def test_sizes_that_contradict_each_other_are_refused_and_the_same_said_twice_is_not() -> None:
    with pytest.raises(ConfigError, match="--set image_size=32: contradicts --input 3x64x64"):
        printed("summary", "lenet5", "--set", "image_size=32", "--input", "3x64x64")
    assert "3×64×64" in printed("summary", "lenet5", "--set", "image_size=64", "--input", "3x64x64")


@pytest.mark.parametrize("size", ["64", "3x64", "3x64x65", "axbxc", "0x28x28", "1x-1x-1", "1x99999x99999", "1x28x28x1"])
def test_sizes_that_cannot_be_are_refused(size: str) -> None:
    with pytest.raises(ConfigError):
        printed("summary", "lenet5", f"--input={size}")


def test_models_lists_every_model_with_its_parameters() -> None:
    listed = json.loads(printed("models", "--json"))["models"]
    names = [*MODELS.names(), *MODELS.members("torchvision")]
    assert [row["name"] for row in listed] == names
    assert [row["parameters"] for row in listed] == [MODELS.get(name).num_parameters for name in names]
    table = printed("models")
    assert max(map(len, table.splitlines())) <= 100
    assert [line.split()[0] for line in table.splitlines() if not line.startswith(" ")] == ["model", *names]


def test_a_model_that_does_not_state_its_parameters_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of another package may be; the fixed codes of lenet5_1998 are no parameters to train."""
    monkeypatch.delattr(MODELS.get("lenet5_1998"), "num_parameters")
    assert _row("lenet5_1998")["parameters"] == 60_000


def test_curves_are_drawn_again_in_their_run_or_together_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"epoch": 1, "train": {"loss": 0.5, "accuracy": 0.9}, "val": None}
    for name in ("a/run", "b/run", "other"):
        Path(name).mkdir(parents=True)
        Path(name, "history.jsonl").write_text(json.dumps(row) + "\n")
    assert printed("curves", "a/run").strip() == "a/run/curves.png"
    assert printed("curves", "a/run", "b/run", "-o", "same.png").strip() == "same.png"
    assert printed("curves", "a/run", "other").strip() == "curves.png"
    for path, height in (("a/run/curves.png", 440), ("same.png", 460), ("curves.png", 460)):
        with Image.open(path) as picture:
            assert picture.height == height  # 420 pixels and a line of 20 a run
    with pytest.raises(ConfigError, match=r"ends in \.png"):
        printed("curves", "a/run", "-o", "picture.jpg")


@pytest.mark.parametrize("name", ["resnet18", "maxvit_t"])
def test_the_table_of_a_large_network_keeps_its_numbers_and_the_ends_of_names(name: str) -> None:
    lines = printed("summary", f"torchvision/{name}").splitlines()
    assert max(map(len, lines)) <= 100
    layers = json.loads(printed("summary", f"torchvision/{name}", "--json"))["layers"]
    for line, layer in zip(lines[1:], layers, strict=False):
        assert layer["name"].endswith(line.split()[0].removeprefix("…"))
        assert all(f" {count:,}" in line for count in (layer["weights"], layer["macs"]) if count)
