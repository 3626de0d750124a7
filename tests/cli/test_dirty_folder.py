"""A folder as people have them, through the real command: each thing in it has one outcome."""

import json
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Cnn, PictureFolder

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))


def bomb() -> bytes:
    """Return a PNG of 100 million white pixels, in a hundred kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff" * 10_000) * 10_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def dirty(picture_folder: PictureFolder) -> Path:
    """Return a folder with good pictures of every kind, broken files, and what is no picture."""
    root = picture_folder("train", "val", per_class=3)
    left = root / "train" / "left"
    # Good, each of them decoded somehow:
    NOISE.convert("CMYK").save(left / "cmyk.jpg")
    Image.fromarray(np.arange(2_000, dtype=np.uint16).reshape(40, 50) * 32).save(left / "sixteen_bits.png")
    palette = NOISE.quantize(16)
    palette.save(left / "palette.png", transparency=3)
    exif = Image.Exif()
    exif[0x0112] = 6
    NOISE.save(left / "turned.jpg", exif=exif)
    NOISE.save(left / "animated.gif", save_all=True, append_images=[NOISE.rotate(90), NOISE.rotate(180)])
    shutil.copy(left / "0.jpg", os.fsencode(left) + b"/caf\xe9.jpg")
    # Broken, each of them named:
    (left / "truncated.jpg").write_bytes((left / "1.jpg").read_bytes()[:400])
    (left / "empty.jpg").touch()
    (left / "text.jpg").write_text("not a picture")
    (left / "bomb.png").write_bytes(bomb())
    Image.new("L", (10_000, 10_000)).save(left / "bomb.jpg")
    (left / "circle.jpg").symlink_to("circle.jpg")
    (left / "folder.jpg").mkdir()  # the name of a picture, but it is walked as any other folder
    Path(os.fsdecode(os.fsencode(left) + b"/th\xe9.jpg")).write_text("not a picture")
    # No pictures, and left out:
    (left / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (left / "loop").symlink_to(left)
    (left / "circle").symlink_to("circle")
    (left / "notes.txt").write_text("not a picture, and not called one")
    return root


BROKEN = {
    "truncated.jpg": "not a whole picture: ",
    "empty.jpg": "an empty file",
    "text.jpg": "not a picture that Pillow knows",
    "bomb.png": "more than 89,478,485 pixels, which may be a decompression bomb",
    "bomb.jpg": "more than 89,478,485 pixels, which may be a decompression bomb",
    "circle.jpg": "Too many levels of symbolic links",
    r"th\udce9.jpg": "not a picture that Pillow knows",
}
NUM_GOOD = 3 * 3 + 6


def config(path: Path, root: Path, data: str = "") -> Path:
    file = path / "dirty.yaml"
    file.write_text(
        f"data: {{name: image_folder, root: {root}, size: 32{data}}}\nmodel: {{name: tinyvgg}}\n"
        "train: {epochs: 2, batch_size: 4}\nruntime: {device: cpu}\n"
    )
    return file


@pytest.mark.parametrize("cache", ["off", "disk"])
def test_every_broken_file_is_named(cache: str, dirty: Path, cnn: Cnn, tmp_path: Path) -> None:
    done = cnn("train", "-c", config(tmp_path, dirty, f", cache: {cache}, workers: 1"))
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{len(BROKEN)} of {NUM_GOOD + len(BROKEN) + 9} pictures cannot be read:\n" in done.stderr
    for name, problem in BROKEN.items():
        assert f"\n  {dirty}/train/left/{name}: {problem}" in done.stderr
    assert "data.on_error: skip" in done.stderr
    assert (tmp_path / "runs" / "dirty").exists() is (cache == "off")  # where they are met after the first save


@pytest.mark.parametrize("cache", ["off", "disk"])
def test_what_is_good_can_be_trained_on(cache: str, dirty: Path, cnn: Cnn, tmp_path: Path) -> None:
    file = config(tmp_path, dirty, f", cache: {cache}, workers: 1, on_error: skip")
    done = cnn("train", "-c", file, "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(row) for row in (tmp_path / "runs" / "dirty" / "history.jsonl").read_text().splitlines()]
    assert [row["num_skipped"] for row in rows] == [len(BROKEN)] * 2
    assert done.stderr.count(f"   {len(BROKEN)} broken left out   ") == 2


def test_a_class_that_only_val_has_is_named(picture_folder: PictureFolder, cnn: Cnn, tmp_path: Path) -> None:
    root = picture_folder("train", "val", per_class=2)
    (root / "val" / "newt").mkdir()
    NOISE.save(root / "val" / "newt" / "1.jpg")
    done = cnn("train", "-c", config(tmp_path, root))
    assert done.returncode == 3
    assert done.stderr.startswith("error: no picture to train on of class newt; add some, remove its folder")


def test_data_check_counts_what_is_missing(picture_folder: PictureFolder, cnn: Cnn, tmp_path: Path) -> None:
    """An empty class, one that only val has, a split without pictures, a class whose name is no UTF-8."""
    root = picture_folder("train", "val", per_class=2)
    for name in ("train/empty", "val/newt", "test/left"):
        (root / name).mkdir(parents=True)
    NOISE.save(root / "val" / "newt" / "1.jpg")
    odd = os.fsdecode(os.fsencode(root / "train") + b"/caf\xe9")
    (root / "train" / "left").rename(odd)
    done = cnn("data", "check", config(tmp_path, root))
    assert done.returncode == 3
    assert done.stderr == f"error: {tmp_path / 'dirty.yaml'}: the images have problems, listed above\n"
    listed = done.stdout.splitlines()
    start = listed.index("missing (4)") + 1
    assert listed[start : start + 4] == [
        "  the test split holds no images",
        *(f"  class {name} has no image to train on" for name in ("empty", "left", "newt")),
    ]
    assert listed[1].split() == [r"caf\udce9", "2", "0", "0"]
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_data_check_finds_all_of_it(dirty: Path, cnn: Cnn, tmp_path: Path) -> None:
    """Broken files, one picture twice in a class and once in val, and a PNG that is named .jpg."""
    left, val = dirty / "train" / "left", dirty / "val"
    NOISE.save(left / "misnamed.jpg", "PNG")
    shutil.copy(dirty / "train" / "top" / "1.jpg", val / "top" / "leaked.jpg")
    shutil.copy(dirty / "train" / "top" / "2.jpg", left / "conflicting.jpg")
    done = cnn("data", "check", config(tmp_path, dirty), "-o", "sheet.png", "--json")
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert report["counts"]["train"] == {"left": 3 + 6 + len(BROKEN) + 2, "right": 3, "top": 3}
    names = sorted(Path(line.partition(": ")[0]).name for line in report["broken"])
    assert [name.encode(errors="backslashreplace").decode() for name in names] == sorted(BROKEN)
    assert report["left_out"] == {"circle": 1, ".txt": 1}
    assert report["missing"] == []
    assert report["misnamed"] == [f"{left}/misnamed.jpg is PNG"]
    names = {kind: [[Path(path).name for path in same] for same in report[kind]] for kind in ("leaked", "conflicting")}
    assert names["conflicting"] == [["conflicting.jpg", "2.jpg"]]
    assert ["1.jpg", "leaked.jpg"] in names["leaked"]
    (doubled,) = (same for same in report["duplicates"] if Path(same[0]).parent == left)
    assert [os.fsencode(path) for path in doubled] == [
        os.fsencode(left) + name for name in (b"/0.jpg", b"/caf\xe9.jpg")
    ]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    table = cnn("data", "check", config(tmp_path, dirty), "-o", "sheet.png")
    assert table.returncode == 3
    assert all(name in table.stdout for name in BROKEN)
    assert "Traceback" not in table.stderr
