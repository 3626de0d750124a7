"""Arrays of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
        ({"train_images": GREY, "train_labels": LABELS[:3]}, "6 whole numbers"),
        ({"train_images": GREY, "train_labels": LABELS - 1}, "-1 to 1, but classes are 0 to 1"),
        ({"train_images": GREY, "train_labels": LABELS / 2}, "whole numbers, not float64"),
        ({"train_images": GREY, "train_labels": LABELS, "classes": np.array(["a"])}, "classes are 0 to 0"),
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


def test_a_damaged_array_is_named(tmp_path: Path) -> None:
    path = Path(archive(tmp_path, train_images=np.arange(384, dtype=np.uint8).reshape(6, 8, 8), train_labels=LABELS))
    content = bytearray(path.read_bytes())
    content[300] ^= 255  # inside the first array
    path.write_bytes(content)
    with pytest.raises(DataError, match="train_images is damaged"):
        NpzArchive(str(path)).load("train")
