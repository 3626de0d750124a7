"""``cnn export`` as it is typed."""

import inspect
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from cnncli.commands.export import export
from cnncli.exporting import FORMATS
from cnncli.run import Run
from tests.conftest import Cnn

pytest.importorskip("onnxruntime")


def test_it_writes_onnx_and_says_what_it_compared(cnn: Cnn, tiny_run: Run, tmp_path: Path) -> None:
    done = cnn("export", tiny_run.best, "-o", "tiny.onnx", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["format"], result["file"], result["image_shape"]) == ("onnx", "tiny.onnx", [1, 12, 12])
    assert result["num_bytes"] == (tmp_path / "tiny.onnx").stat().st_size
    compared = result["compared"]
    assert (compared["images"], compared["num_images"], compared["num_different_labels"]) == ("test", 20, 0)
    assert 0 <= compared["largest_difference"] <= 1e-4
    assert done.stderr == "writing tiny.onnx, then comparing it with the network\n"
    refused = cnn("eval", "tiny.onnx")
    assert refused.returncode == 4
    assert refused.stderr.startswith("error: tiny.onnx: not a checkpoint of cnncli, but an ONNX file")


def test_it_writes_beside_the_checkpoint_and_compares_on_pictures(cnn: Cnn, folder_run: Run, tmp_path: Path) -> None:
    checkpoint = tmp_path / "mine.pt"
    checkpoint.write_bytes(folder_run.best.read_bytes())
    pictures = folder_run.path.parents[1] / "pictures"
    done = cnn("export", checkpoint, "--to", "safetensors", "--images", pictures / "left", "--images", pictures / "top")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine.safetensors").is_file()
    assert re.search(r"^compared  16 images \(--images\), probabilities within \S+, same labels$", done.stdout, re.M)


def test_every_format_is_offered() -> None:
    offered = get_args(inspect.signature(export).parameters["to"].annotation)[0]
    assert set(get_args(get_args(offered)[0])) == set(FORMATS)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 2, "error: say what to write: --to"),
        (("--to", "onnx", "-o", "a.pt2"), 2, "error: a.pt2: named as torch-export"),
        (("--to", "onnx", "--images", "nothing.png"), 3, "error: nothing.png: No such file"),
    ],
)
def test_what_cannot_be_is_an_error(
    options: tuple[str, ...], code: int, message: str, cnn: Cnn, tiny_run: Run, tmp_path: Path
) -> None:
    done = cnn("export", tiny_run.best, *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_never_written_over(cnn: Cnn, tiny_run: Run, tmp_path: Path) -> None:
    named = tmp_path / "mine.safetensors"  # a checkpoint may be called anything
    named.write_bytes(tiny_run.best.read_bytes())
    for command in (("export", named, "--to", "safetensors"), ("card", named, "-o", named)):
        done = cnn(*command)
        assert (done.returncode, "is what it is made of, and would be lost" in done.stderr) == (2, True)
    assert named.read_bytes() == tiny_run.best.read_bytes()
