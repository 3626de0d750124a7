"""Folders of pictures, against torchvision's ImageFolder, and as they should not be."""

import os
import tracemalloc
from pathlib import Path

import pytest
import torch
from torchvision.datasets import ImageFolder as Theirs

from cnncli.config.validation import validate_options
from cnncli.datasets import Names, Pictures
from cnncli.datasets.image_folder import ImageFolder
from cnncli.errors import DataError
from tests.conftest import PictureFolder


def paths(pictures: Pictures) -> list[str]:
    return [str(pictures.path(row)) for row in range(len(pictures))]


def test_it_lists_what_torchvision_lists(picture_folder: PictureFolder) -> None:
    root = picture_folder("train", "val")
    nested = root / "train" / "top" / "more" / "x.JPG"
    nested.parent.mkdir()
    (root / "train" / "top" / "0.jpg").rename(nested)
    source = ImageFolder(str(root))
    assert (source.splits, source.classes) == (("train", "val"), ("left", "right", "top"))
    for split in source.splits:
        ours, theirs = source.load(split), Theirs(root / split)
        pairs = zip(paths(ours), ours.labels.tolist(), strict=True)
        assert sorted(pairs) == sorted(theirs.samples)
        assert ours.labels.tolist() == theirs.targets


def test_one_tree_is_all_to_train_on(picture_folder: PictureFolder) -> None:
    source = ImageFolder(str(picture_folder(per_class=3)))
    assert (source.splits, source.classes) == (("train",), ("left", "right", "top"))
    assert len(source.load("train")) == 9
    assert source.load("train", limit=2).labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_hidden_and_other_files_are_left_out(picture_folder: PictureFolder) -> None:
    root = picture_folder("train", per_class=1)
    for name in (".DS_Store", "._0.jpg", "notes.txt", "Thumbs.db"):
        (root / "train" / "left" / name).write_bytes(b"x")
    (root / "train" / ".git").mkdir()
    (root / "train" / "readme.txt").write_text("x")
    source = ImageFolder(str(root))
    assert source.classes == ("left", "right", "top")
    assert len(source.load("train")) == 3
    assert source.left_out == {".txt": 1, ".db": 1}


def test_a_circle_of_links_is_walked_once(picture_folder: PictureFolder) -> None:
    root = picture_folder("train", per_class=2)
    (root / "train" / "left" / "loop").symlink_to(root / "train" / "left")
    (root / "train" / "right" / "up").symlink_to(root / "train" / "right" / "..", target_is_directory=True)
    names = [path for path in paths(ImageFolder(str(root)).load("train")) if "left" in Path(path).parts[-2:]]
    assert len(names) == 2 + 2  # its own, and once more by way of right/up


def test_a_name_that_is_no_utf8_is_a_name(picture_folder: PictureFolder) -> None:
    root = picture_folder("train", per_class=1)
    odd = os.fsencode(root / "train" / "left") + b"/caf\xe9.jpg"
    try:
        os.rename(root / "train" / "left" / "0.jpg", odd)  # noqa: PTH104  # a name in bytes
    except OSError:
        pytest.skip("this file system wants UTF-8")
    pictures = ImageFolder(str(root)).load("train")
    assert os.fsencode(pictures.path(0)) == odd
    assert pictures.path(0).read_bytes()


def test_a_link_to_itself_is_no_folder(picture_folder: PictureFolder) -> None:
    """One with a picture's extension is a picture that cannot be read."""
    root = picture_folder("train", per_class=1)
    for folder, name in (("train", "loop"), ("train/left", "loop"), ("train/left", "loop.jpg")):
        (root / folder / name).symlink_to(name)
    source = ImageFolder(str(root))
    assert source.classes == ("left", "right", "top")
    assert [Path(path).name for path in paths(source.load("train"))] == ["0.jpg", "loop.jpg", "0.jpg", "0.jpg"]


def test_a_class_may_be_called_train(picture_folder: PictureFolder) -> None:
    root = picture_folder(per_class=1)
    (root / "top").rename(root / "train")
    source = ImageFolder(str(root))
    assert (source.splits, source.classes) == (("train",), ("left", "right", "train"))
    assert len(source.load("train")) == 3


@pytest.mark.parametrize(
    ("made", "message"), [((), "no such folder"), (("",), "no folder in it that a class could be")]
)
def test_what_is_no_folder_of_pictures_is_named(made: tuple[str, ...], message: str, tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    for name in made:
        (root / name).mkdir()
    with pytest.raises(DataError, match=f"{root}: {message}"):
        ImageFolder(str(root))


def test_a_root_in_a_config_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert validate_options("data", "image_folder", {"root": "a"})["root"] == str(tmp_path / "a")


def test_a_million_names_take_little_memory() -> None:
    """Of 31 bytes each, as ImageNet's: 31 MB, and 8 for where each ends; three times that while they are listed."""
    tracemalloc.start()
    names = Names(b"n%08d/n%08d_%05d.JPEG" % (i % 1000, i % 1000, i % 99_999) for i in range(1_000_000))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert names[999_999] == b"n00000999/n00000999_00009.JPEG"
    assert held < 45e6
    assert peak < 130e6


def test_taking_some_shares_the_names(picture_folder: PictureFolder) -> None:
    pictures = ImageFolder(str(picture_folder())).load("train")
    few = pictures.take(torch.tensor([5, 20]))
    assert few.names is pictures.names
    assert paths(few) == [paths(pictures)[5], paths(pictures)[20]]
    assert few.labels.tolist() == [0, 2]
