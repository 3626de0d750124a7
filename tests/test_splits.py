"""What a run trains, validates and tests on."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cnncli.config.schema import Config
from cnncli.config.validation import load_config
from cnncli.datasets import Images, Pictures, Split
from cnncli.errors import ConfigError, DataError
from cnncli.experiment import Experiment
from cnncli.registry import DATASETS
from cnncli.splits import Splits
from tests.conftest import PictureFolder


def config_of(path: Path, root: Path, data: str = "", seed: int = 0) -> Config:
    config_file = path / "splits.yaml"
    config_file.write_text(f"data: {{name: image_folder, root: {root}, size: 32{data}}}\nmodel: {{name: tinyvgg}}\n")
    return load_config(str(config_file), flags={"seed": seed, "device": "cpu"})


def splits_of(path: Path, root: Path, data: str = "", record: Any = None, seed: int = 0) -> Splits:
    config = config_of(path, root, data, seed)
    return Splits(DATASETS.get("image_folder")(**config.data.options), config, record)


def names(images: Images | None) -> list[str]:
    assert isinstance(images, Pictures)
    return [images.name(row) for row in range(len(images))]


def test_one_tree_is_split_by_class_and_seed(tmp_path: Path, picture_folder: PictureFolder) -> None:
    """Of 8 pictures of each class: a quarter to test on, and a third of the other six to validate on."""
    root = picture_folder(per_class=8)
    splits = splits_of(tmp_path, root, ", test: 0.25, validation: 0.34")
    assert splits.names == ["train", "val", "test"]
    parts = {name: names(splits.load(name)) for name in splits.names}
    assert {name: len(files) for name, files in parts.items()} == {"train": 12, "val": 6, "test": 6}
    assert sorted(name for files in parts.values() for name in files) == sorted(
        str(p.relative_to(root)) for p in root.rglob("*.jpg")
    )
    for name, count in (("train", 4), ("val", 2), ("test", 2)):
        images = splits.load(name)
        assert images is not None
        assert images.labels.bincount().tolist() == [count] * 3
    assert names(splits_of(tmp_path, root, ", test: 0.25, validation: 0.34").load("val")) == parts["val"]
    assert names(splits_of(tmp_path, root, ", test: 0.25, validation: 0.34", seed=1).load("val")) != parts["val"]
    assert splits.held_out_names() == {"test": parts["test"], "val": parts["val"]}


def test_a_split_of_its_own_is_not_held_out(tmp_path: Path, picture_folder: PictureFolder) -> None:
    splits = splits_of(tmp_path, picture_folder("train", "test"), ", test: 0.25, validation: 0.25")
    assert splits.held_out == ["val"]
    assert len(names(splits.load("test"))) == 24
    assert splits.held_out_names().keys() == {"val"}


def test_recorded_files_stay_held_out_whatever_came_since(tmp_path: Path, picture_folder: PictureFolder) -> None:
    root = picture_folder(per_class=8)
    record = splits_of(tmp_path, root, ", test: 0.25, validation: 0.25").held_out_names()
    for label in ("left", "right"):
        (root / label / "00.jpg").write_bytes((root / label / "0.jpg").read_bytes())
    later = splits_of(tmp_path, root, ", test: 0.25, validation: 0.25", record)
    assert later.held_out_names() == record
    assert {"left/00.jpg", "right/00.jpg"} <= set(names(later.load("train")))
    assert not set(names(later.load("train"))) & {*record["test"], *record["val"]}
    (root / record["test"][0]).unlink()
    message = f"1 files that the run held out are gone.*; the first is {record['test'][0]} of its test split"
    with pytest.raises(DataError, match=message):
        splits_of(tmp_path, root, ", test: 0.25, validation: 0.25", record).load("train")


def test_classes_can_be_ordered_and_chosen(tmp_path: Path, picture_folder: PictureFolder) -> None:
    splits = splits_of(tmp_path, picture_folder("train"), ", classes: [top, left]")
    assert splits.classes == ("top", "left")
    train = splits.load("train")
    assert train is not None
    pairs = set(zip((name.split("/")[1] for name in names(train)), train.labels.tolist(), strict=True))
    assert pairs == {("top", 0), ("left", 1)}


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("[top, rigth]", r"data\.classes: image_folder has no class 'rigth'; did you mean right\?"),
        ("[top, top]", r"data\.classes: names a class twice"),
    ],
)
def test_classes_that_are_none_are_named(
    classes: str, message: str, tmp_path: Path, picture_folder: PictureFolder
) -> None:
    with pytest.raises(ConfigError, match=message):
        splits_of(tmp_path, picture_folder("train"), f", classes: {classes}")


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_class_without_pictures_to_train_on_is_an_error(
    split: str, tmp_path: Path, picture_folder: PictureFolder
) -> None:
    """An empty folder, or one that only val has; the message says how to leave it out."""
    root = picture_folder("train", "val")
    (root / split / "empty").mkdir()
    config = config_of(tmp_path, root)
    experiment = Experiment.prepare(config)
    assert experiment.splits.classes == ("empty", "left", "right", "top")
    with pytest.raises(DataError, match="no picture to train on of class empty; add some, remove its folder, or leave"):
        experiment.check_classes()
    Experiment.prepare(config_of(tmp_path, root, ", classes: [left, right, top]")).check_classes()


def test_a_class_of_one_picture_cannot_be_split(tmp_path: Path, picture_folder: PictureFolder) -> None:
    root = picture_folder(per_class=5)
    for number in range(1, 5):
        (root / "left" / f"{number}.jpg").unlink()
    with pytest.raises(ConfigError, match=r"data\.validation: leaves no image of class left to train on"):
        splits_of(tmp_path, root, ", validation: 0.2").load("train")


def test_a_split_without_pictures_is_named(tmp_path: Path, picture_folder: PictureFolder) -> None:
    root = picture_folder("train")
    (root / "val" / "left").mkdir(parents=True)
    with pytest.raises(DataError, match="the val split holds no images"):
        Experiment.prepare(config_of(tmp_path, root)).eval_loader("val")


def test_arrays_are_read_once_to_train_and_to_validate_on(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held out is what is held out when it is asked for first, or alone."""
    config = load_config(str(tiny_config))
    source, expected = DATASETS.get("npz")(**config.data.options), {}
    for name in ("val", "train"):
        alone = Splits(DATASETS.get("npz")(**config.data.options), config).load(name)  # type: ignore[arg-type]
        assert isinstance(alone, Split)
        expected[name] = alone
    read, load = list[str](), source.load
    monkeypatch.setattr(source, "load", lambda name, limit: read.append(name) or load(name, limit))
    splits = Splits(source, config)
    for name in ("train", "val"):
        images = splits.load(name)  # type: ignore[arg-type]
        assert isinstance(images, Split)
        assert torch.equal(images.images, expected[name].images)
        assert torch.equal(images.labels, expected[name].labels)
    assert splits.held_out_names() == {}
    assert read == ["train"]
