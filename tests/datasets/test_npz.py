"""Arrays of one's own."""

import io
import os
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cnncli.config.validation import validate_options
from cnncli.datasets.npz import NpzArchive
from cnncli.errors import DataError

GREY = np.zeros((6, 8, 8), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def archive(path: Path, **arrays: Any) -> str:
    np.savez(path / "a.npz", **arrays)
    return str(path / "a.npz")


def test_grey_and_colour_images(tmp_path: Path) -> None:
    grey = NpzArchive(archive(tmp_path, train_images=GREY, train_labels=LABELS))
    assert (grey.channels, grey.image_size, grey.classes, grey.splits) == (1, 8, ("0", "1", "2"), ("train",))
    colour = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    source = NpzArchive(archive(tmp_path, train_images=colour, train_labels=LABELS, classes=np.array(["a", "b", "c"])))
    assert (source.channels, source.classes) == (3, ("a", "b", "c"))
    split = source.load("train")
    assert np.array_equal(split.images.numpy(), colour.transpose(0, 3, 1, 2))
    assert source.load("train", limit=1).labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": GREY}, "none of the arrays train_images"),
        ({"train_images": GREY}, "train_labels is missing"),
        ({"train_images": GREY.astype(float), "train_labels": LABELS}, "must be uint8"),
        ({"train_images": GREY[:, :, :5], "train_labels": LABELS}, "square"),
        ({"train_images": GREY[0], "train_labels": LABELS}, "must be uint8"),
        ({"train_images": GREY[:, :0, :0], "train_labels": LABELS}, "must be uint8"),
        ({"train_images": GREY[..., None][..., :0], "train_labels": LABELS}, "must be uint8"),
        ({"train_images": GREY.transpose(1, 2, 0), "train_labels": LABELS}, "square"),
        ({"train_images": GREY, "train_labels": LABELS[:3]}, "3 labels, but there are 6 images"),
        ({"train_images": GREY, "train_labels": LABELS - 1}, "-1 to 1, but classes are 0 to 1"),
        ({"train_images": GREY, "train_labels": LABELS / 2}, r"whole numbers \[N\], not float64 \[6\]"),
        ({"train_images": GREY, "train_labels": np.full(6, np.nan)}, "whole numbers"),
        ({"train_images": GREY, "train_labels": np.array(list("abcabc"))}, "whole numbers"),
        ({"train_images": GREY, "train_labels": LABELS[:, None]}, r"whole numbers \[N\], not int64 \[6, 1\]"),
        ({"train_images": GREY, "train_labels": LABELS > 0}, "whole numbers"),
        ({"train_images": GREY, "train_labels": LABELS + 10**9}, "a label is 1,000,000,002"),
        ({"train_images": GREY, "train_labels": LABELS, "classes": np.array(["a"])}, "classes are 0 to 0"),
        ({"train_images": GREY, "train_labels": LABELS, "classes": np.array(["a", "b", "a"])}, "different names"),
        ({"train_images": GREY, "train_labels": LABELS, "classes": np.array("abc")}, "different names"),
        ({"train_images": GREY, "train_labels": LABELS, "classes": np.array([{}, {}, {}])}, "classes is damaged"),
        ({"train_images": GREY, "train_labels": np.array([{}] * 6)}, "train_labels is damaged"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = archive(tmp_path, **arrays)
    with pytest.raises(DataError, match=message) as error:
        NpzArchive(path).load("train")
    assert path in str(error.value)


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match="No such file"):
        NpzArchive(str(path))
    for content in (b"", b"text", b"PK\x03\x04 no zip"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"not an \.npz archive"):
            NpzArchive(str(path))
    np.save(tmp_path / "single.npy", GREY)
    with pytest.raises(DataError, match=r"not an \.npz archive"):
        NpzArchive(str(tmp_path / "single.npy"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_archive_is_the_datas_fault_wherever_it_is_damaged(save: Any, tmp_path: Path) -> None:
    """Cut short, or with a byte changed, a zip file fails in many ways; some damage does not matter to the arrays."""
    path, random = tmp_path / "a.npz", np.random.default_rng(0)
    save(path, train_images=np.arange(384, dtype=np.uint8).reshape(6, 8, 8), train_labels=LABELS)
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place])
        with pytest.raises(DataError, match=r"cut short|damaged"):
            NpzArchive(str(path)).load("train")
        path.write_bytes(whole[:place] + random.bytes(1) + whole[place + 1 :])
        with suppress(DataError):
            NpzArchive(str(path)).load("train")


def test_pickled_objects_are_never_run(tmp_path: Path) -> None:
    """The array asks pickle to make a folder; the file is refused and the folder is not there."""
    evidence = tmp_path / "evidence"

    class Mischief:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(evidence),)

    path = archive(tmp_path, train_images=GREY, train_labels=LABELS, classes=np.array([Mischief()] * 3))
    with pytest.raises(DataError, match="classes is damaged: Object arrays cannot be loaded"):
        NpzArchive(path)
    assert not evidence.exists()


def test_a_file_in_the_archive_that_is_no_array(tmp_path: Path) -> None:
    path = archive(tmp_path, train_labels=LABELS)
    with zipfile.ZipFile(path, "a") as added:
        added.writestr("train_images", b"text")
    with pytest.raises(DataError, match="the array train_images is missing"):
        NpzArchive(path)


def test_splits_of_their_own(tmp_path: Path) -> None:
    arrays = {
        f"{split}_{what}": array for split in ("val", "test") for what, array in (("images", GREY), ("labels", LABELS))
    }
    source = NpzArchive(archive(tmp_path, **arrays))
    assert source.splits == ("val", "test")
    arrays["test_images"] = np.zeros((6, 9, 9), np.uint8)
    with pytest.raises(DataError, match="test_images differ in size from val_images"):
        NpzArchive(archive(tmp_path, **arrays)).load("test")


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_limit_keeps_the_first_images_of_each_class_in_their_order(limit: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (60, 4, 4), dtype=np.uint8), random.integers(0, 7, 60)
    split = NpzArchive(archive(tmp_path, train_images=images, train_labels=labels)).load("train", limit)
    seen, first = Counter[int](), []
    for index, label in enumerate(labels.tolist()):  # the definition, written out
        seen[label] += 1
        first += [index] if seen[label] <= limit else []
    assert split.labels.tolist() == labels[first].tolist()
    assert np.array_equal(split.images[:, 0].numpy(), images[first])


def test_an_empty_split_is_empty_with_a_limit_too(tmp_path: Path) -> None:
    source = NpzArchive(archive(tmp_path, train_images=GREY[:0], train_labels=LABELS[:0]))
    assert len(source.load("train", limit=1)) == len(source.load("train")) == 0


def test_any_kind_of_whole_number_will_do(tmp_path: Path) -> None:
    for kind in ("u1", "i2", ">i4", "u8"):
        source = NpzArchive(archive(tmp_path, train_images=GREY, train_labels=LABELS.astype(kind)))
        assert source.load("train").labels.tolist() == LABELS.tolist()
        assert source.load("train").labels.dtype == torch.int64


def test_the_path_in_a_config_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert validate_options("data", "npz", {"path": "a.npz"})["path"] == str(tmp_path / "a.npz")


def test_a_damaged_array_is_named(tmp_path: Path) -> None:
    path = Path(archive(tmp_path, train_images=np.arange(384, dtype=np.uint8).reshape(6, 8, 8), train_labels=LABELS))
    content = bytearray(path.read_bytes())
    content[300] ^= 255  # inside the first array
    path.write_bytes(content)
    with pytest.raises(DataError, match="train_images is damaged"):
        NpzArchive(str(path)).load("train")


def declared(shape: tuple[int, ...], content: bytes) -> bytes:
    """Return an array whose head speaks of a shape, whatever its content is."""
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return array.getvalue() + content


@pytest.mark.parametrize(
    "array",
    [
        declared((10**12, 28, 28), b"\0" * 784),
        declared((1, 28, 28), b"\0" * 783),
        declared((1, 28, 28), b"\0" * 785),
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': ('a',), 'fortran_order': False, 'shape': (1, 1, 1)}".ljust(117)
        + b"\n\0",
        b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000,
        b"\x93NUMPY\x02\x00\xff\xff\xff\x0f",
        b"PK\3\4 an archive in the archive",
    ],
)
def test_a_head_that_does_not_tell_the_truth_takes_no_memory(array: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_images.npy", array)
    with pytest.raises(DataError, match="the array train_images is damaged: "):
        NpzArchive(str(path))


def test_names_that_are_no_characters_are_refused(tmp_path: Path) -> None:
    """NumPy keeps text as numbers, which may be above Unicode's last."""
    names = np.array(["a"])
    names.view(np.uint32)[0] = 0x110000
    labels = np.zeros(1, np.int64)
    np.savez(tmp_path / "a.npz", train_images=np.zeros((1, 2, 2), np.uint8), train_labels=labels, classes=names)
    with pytest.raises(DataError, match="different names"):
        NpzArchive(str(tmp_path / "a.npz"))


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = np.zeros((100, 100, 100), np.uint8), np.zeros(100, np.int64)
    np.savez_compressed(tmp_path / "a.npz", train_images=images, train_labels=labels)
    assert len(NpzArchive(str(tmp_path / "a.npz")).load("train")) == 100  # a megabyte harms no one
    monkeypatch.setattr("cnncli.datasets.npz.BOMB_BYTES", 999_999)
    with pytest.raises(DataError, match="train_images is more than 100 times as large as it is packed, which may be a"):
        NpzArchive(str(tmp_path / "a.npz"))
