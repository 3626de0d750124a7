"""What a run came to, read and scored anew."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cnncli import checkpoint as checkpoints
from cnncli import launch
from cnncli.analysis.comparison import Result, differences, pairs_of
from cnncli.config.validation import load_config
from cnncli.datasets import Split
from cnncli.errors import CheckpointError
from cnncli.results import _identity, entry_of, result_of
from cnncli.run import Run
from tests.test_session import Silent

Arrays = dict[str, NDArray[Any]]


def scored(path: Path, **options: Any) -> Result:
    return result_of(entry_of(path), options.get("data"), options.get("device"), Silent())


@pytest.fixture
def another(tiny_run: Run, tmp_path: Path) -> Callable[..., Run]:
    """Return a function that trains on the tiny run's images as ``change`` makes them."""

    def train(change: Callable[[Arrays], Arrays], *sets: str) -> Run:
        with np.load(tiny_run.path.parents[1] / "tiny.npz") as arrays:
            np.savez(tmp_path / "other.npz", **change(dict(arrays)))
        config = load_config(tiny_run.config, [f"data.path={tmp_path / 'other.npz'}", "train.epochs=1", *sets])
        run = Run(tmp_path / "other")
        launch.train(config, run, Silent())
        return run

    return train


def test_it_is_known_of_each_image_whether_the_network_is_right(tiny_run: Run) -> None:
    """Against the network by itself, on the images of the file."""
    result = scored(tiny_run.path)
    network = checkpoints.load_network(tiny_run.best)
    with np.load(tiny_run.path.parents[1] / "tiny.npz") as arrays, torch.inference_mode():
        images, labels = torch.from_numpy(arrays["test_images"])[:, None], torch.from_numpy(arrays["test_labels"])
        right = network.model(network.preprocess.normalise(images)).argmax(1) == labels
    assert list(result.right.values()) == right.tolist()
    assert result.test is not None
    assert result.test.accuracy == right.double().mean().item()
    assert result.parameters == sum(weights.numel() for weights in network.model.parameters())
    assert result.notes == []
    assert (result.seed, result.config["train.epochs"]) == (0, 2)
    last = scored(tiny_run.last)
    assert last.images == result.images
    assert differences([result.config, last.config]) == {}


def test_the_same_images_are_known_in_another_order_of_classes(another: Callable[..., Run], tiny_run: Run) -> None:
    def turned(arrays: Arrays) -> Arrays:
        labels = {key: 3 - values if key.endswith("labels") else values for key, values in arrays.items()}
        return {**labels, "classes": np.array(["3", "2", "1", "0"])}

    pair = [scored(tiny_run.path), scored(another(turned).path)]
    assert pair[0].images == pair[1].images
    assert pairs_of(pair)[0].num_images == 20


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {**arrays, "test_images": 255 - arrays["test_images"]},
        lambda arrays: {**arrays, "test_labels": arrays["test_labels"][::-1]},
        lambda arrays: {**arrays, "classes": np.array(["0", "1", "2", "x"])},
    ],
    ids=["images", "labels", "classes"],
)
def test_other_images_labels_and_names_are_others(change: Callable[[Arrays], Arrays], tiny_run: Run) -> None:
    with np.load(tiny_run.path.parents[1] / "tiny.npz") as file:
        arrays = {"classes": np.array(["0", "1", "2", "3"]), **file}

    def identity(arrays: Arrays) -> str:
        images, labels = (np.ascontiguousarray(arrays[f"test_{key}"]) for key in ("images", "labels"))
        return _identity(Split(torch.from_numpy(images), torch.from_numpy(labels)), arrays["classes"].tolist())

    assert identity(arrays) != identity(change(arrays))


def test_what_is_missing_is_noted(another: Callable[..., Run], tmp_path: Path) -> None:
    run = another(lambda arrays: {key: values for key, values in arrays.items() if "test" not in key})
    assert scored(run.path).notes == ["it cannot be scored: there is no test split; there is train and val"]
    run.write_config(run.config.read_text().replace("epochs: 1", "epochs: 4"))
    run.best.unlink()
    assert scored(run.path).notes == ["it has done 1 of its 4 epochs", "it has no best.pt to score yet"]
    assert scored(run.last).notes == ["it cannot be scored: there is no test split; there is train and val"]
    (tmp_path / "other.npz").unlink()
    (gone,) = scored(run.last).notes
    assert gone.startswith("it cannot be scored: ")
    assert "other.npz" in gone


def test_test_images_that_are_others_by_now_are_noted(another: Callable[..., Run], tmp_path: Path) -> None:
    run = another(dict)
    with np.load(tmp_path / "other.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "other.npz", **{**arrays, "test_images": arrays["test_images"] // 2})
    assert scored(run.path).notes == ["its test images are others now than when it was trained"]
    assert scored(run.path, data=tmp_path / "other.npz").notes == []


def test_pictures_are_known_by_name_and_content(folder_run: Run, tmp_path: Path) -> None:
    """Wherever they lie: one of them, broken, leaves the others paired; others of the same names are no pairs."""
    root, copied = folder_run.path.parents[1] / "pictures", tmp_path / "copied"
    shutil.copytree(root, copied)
    checkpoint = checkpoints.load(folder_run.best)
    files = checkpoint.held_out["test"]
    moved = {**checkpoint.config, "data": {**checkpoint.config["data"], "root": str(copied), "on_error": "skip"}}
    checkpoints.save(checkpoints.Checkpoint(**{**vars(checkpoint), "config": moved}), tmp_path / "moved.pt")
    (copied / files[1]).write_bytes(b"none")
    whole, lacking = scored(folder_run.path), scored(tmp_path / "moved.pt")
    assert whole.images == lacking.images
    assert sorted(name for name, _ in whole.right) == sorted(files)  # type: ignore[misc]
    assert whole.right.keys() - lacking.right.keys() == {key for key in whole.right if key[0] == files[1]}  # type: ignore[index]
    assert lacking.notes == ["1 broken picture left out"]
    assert [pair.num_images for pair in pairs_of([whole, lacking])] == [len(files) - 1]
    for file in files:
        shutil.copy(root / files[0], copied / file)
    assert scored(tmp_path / "moved.pt").images == whole.images
    (copied / files[0]).write_bytes((root / files[1]).read_bytes())
    assert pairs_of([whole, scored(tmp_path / "moved.pt")]) == []


def test_a_run_that_ended_early_is_whole_and_one_that_was_stopped_is_not(tiny_run: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    (first, second), config = run.read_history(), run.config.read_text()
    assert (scored(run.path).is_whole, scored(run.path).notes) == (True, [])
    run.write_config(config.replace("epochs: 2", "epochs: 9"))
    assert (scored(run.path).is_whole, scored(run.path).notes) == (False, ["it has done 2 of its 9 epochs"])
    run.write_config(config.replace("epochs: 2", "epochs: 9").replace("patience: null", "patience: 1"))
    run.cut([{**first, "val": {"accuracy": 1.0, "loss": 0.0}}, second], step=99)
    assert (scored(run.path).is_whole, scored(run.path).notes) == (True, ["it ended early, after 2 epochs"])


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        entry_of(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="is no run directory"):
        entry_of(tmp_path)
