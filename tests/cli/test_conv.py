"""``cnn conv``: what is read from files and stdin, what its options mean together, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Cnn

EDGES = "1 1 0 0 0 0 1 1\n" * 6


def test_edges_are_found_and_their_kernel_is_learned_back(cnn: Cnn, tmp_path: Path) -> None:
    """Dive into Deep Learning, 7.2.3 and 7.2.4."""
    (tmp_path / "edges.txt").write_text(EDGES)
    arguments = ("conv", "edges.txt", "--kernel", "1 -1", "--learn", 10, "--lr", 0.03)
    result = json.loads(cnn(*arguments, "-o", "out.png", "--json").stdout)
    assert result["output"] == [[[0, 1, 0, 0, 0, -1, 0]] * 6]
    assert np.abs(np.array(result["learned"]["kernel"]) - [1, -1]).max() < 0.1
    with Image.open(tmp_path / result["picture"]) as picture:
        assert picture.format == "PNG"
    said = cnn(*arguments).stdout
    assert said.count("\nstep ") == 11
    assert f"\nstep 10  loss {result['learned']['losses'][10]:.4g}\n" in said
    (tmp_path / "edges.txt").write_text("\n".join(map(" ".join, zip(*map(str.split, EDGES.splitlines()), strict=True))))
    assert not np.any(json.loads(cnn("conv", "edges.txt", "--kernel", "1 -1", "--json").stdout)["output"])


def test_a_picture_is_grey_unless_asked_for_or_its_kernel_has_three_channels(cnn: Cnn, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    (picture := Image.fromarray(pixels)).save(tmp_path / "a.png")

    def result(*arguments: object) -> Any:
        return json.loads(cnn("conv", "a.png", *arguments, "--json").stdout)

    assert result("--kernel", "1")["output"] == [np.asarray(picture.convert("L")).tolist()]
    assert result("--kernel", "1", "--rgb")["output"] == [pixels.sum(2).tolist()]
    assert result("--kernel", "0;;0;;1")["output"] == [pixels[..., 2].tolist()]
    largest = pixels[:, :8].reshape(3, 3, 4, 2, 3).max((1, 3)).transpose(2, 0, 1)
    assert result("--pool", "max", "--size", "3x2", "--rgb")["output"] == largest.tolist()


def test_options_are_those_of_a_layer(cnn: Cnn, tmp_path: Path) -> None:
    """100 becomes 98, 100 with padding, 49 with stride 2; 2×2 is the example of Dive into Deep Learning, 7.3.2."""
    np.savetxt(tmp_path / "a.csv", np.zeros((100, 8)), "%d", ",")

    def sizes(*arguments: object) -> list[int]:
        shape: list[int] = json.loads(cnn("conv", "a.csv", *arguments, "--json").stdout)["output_shape"]
        return shape

    assert sizes("--kernel", "box") == [1, 98, 6]
    assert sizes("--kernel", "box", "--padding", 1) == sizes("--kernel", "box", "--padding", "same") == [1, 100, 8]
    assert sizes("--kernel", "box", "--stride", 2, "--padding", "valid") == [1, 49, 3]
    assert sizes("--kernel", "-1 0 1", "--stride", "3x4", "--padding", "0x1") == [1, 34, 2]
    assert sizes("--kernel", "1 1;1 1", "--dilation", "3x2") == [1, 97, 6]
    assert sizes("--pool", "avg") == [1, 50, 4]
    assert sizes("--pool", "max", "--size", 3, "--stride", 1, "--padding", 1) == [1, 100, 8]


def test_stdin_is_an_input_too(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 7, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("1 2; 3 4")
    (tmp_path / "empty").touch()
    outputs = []
    for name in ("a.txt", "a.png", "empty"):
        command = [sys.executable, "-m", "cnncli", "conv", "-", "--pool", "max", "--json"]
        with (tmp_path / name).open("rb") as file:
            done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
        outputs.append(json.loads(done.stdout)["output"] if done.returncode == 0 else done.stderr)
    assert outputs[:2] == [[[[4]]], [[[7]]]]
    assert outputs[2].startswith("error: -: there is no number in it")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what slides: --kernel sobel-x, --kernel '0 1; 2 3', or --pool max, one of them"),
        (["--kernel", "1", "--pool", "max"], "say what slides"),
        (["--kernel", "1", "--size", "2"], "--size is that of the window of --pool"),
        (["--pool", "max", "--dilation", "2"], "--dilation is for a --kernel"),
        (["--pool", "max", "--learn", "2"], "--learn is for a --kernel"),
        (["--kernel", "1", "--lr", "1"], "--lr is for learning: say --learn 10 as well"),
        (["--kernel", "1", "--learn", "2", "--lr", "2"], "--lr 2: on this input each step would overshoot"),
        (["--kernel", "1 2; 3"], "--kernel 1 2; 3: row 2 has a width of 1"),
        (["--kernel", "1 2 3 4"], "covers 4 of the width, where the input has 3"),
        (["--kernel", "1", "--stride", "0"], "--stride 0: expected a number from 1 to 999"),
        (["--kernel", "1", "--stride", "1x"], "--stride 1x: expected"),
        (["--kernel", "1", "--padding", "1000"], "--padding 1000: expected a number from 0 to 999"),
        (["--pool", "max", "--padding", "same"], "--padding same keeps the size, which a stride of 2x2 does not"),
        (["--kernel", "1", "--rgb"], "--rgb: a.txt is rows of numbers"),
        (["--kernel", "1", "-o", "a.jpg"], "--output a.jpg: the picture is a PNG"),
        (["--kernel", "1", "-o", "no/a.png"], "--output no/a.png: there is no folder no"),
    ],
)
def test_what_cannot_be_is_said(cnn: Cnn, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "a.txt").write_text("1 2 3")
    done = cnn("conv", "a.txt", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_an_input_that_cannot_be_read_is_named_and_none_is_lost(cnn: Cnn, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    for name, message in (
        ("no.txt", "no.txt: No such file or directory"),
        (".", ".: Is a directory"),
        ("cut.png", "cut.png: not a whole picture: "),
    ):
        done = cnn("conv", name, "--kernel", "1")
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith(f"error: {message}")
    before = (tmp_path / "a.png").read_bytes()
    assert cnn("conv", "a.png", "--kernel", "1", "-o", "./a.png").returncode == 2
    assert (tmp_path / "a.png").read_bytes() == before


def test_rows_of_numbers_need_no_torch(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 2; 3 4")
    script = (
        "import sys\nfrom cnncli.cli import app\n"
        "app(['conv', 'a.txt', '--kernel', '1 -1', '--learn', '3', '-o', 'a.png'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=True)
