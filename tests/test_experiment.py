"""A config made real: what of it reaches loaders, losses and scores."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from cnncli import checkpoint as checkpoints
from cnncli import launch
from cnncli.analysis.tencrop import ten_views
from cnncli.config.validation import load_config
from cnncli.datasets import Pictures
from cnncli.display import Display
from cnncli.errors import CheckpointError, ConfigError, DataError
from cnncli.experiment import Experiment
from cnncli.pipeline.decode import Picture
from cnncli.run import Run
from cnncli.scoring import experiment_of, score
from cnncli.session import Session
from cnncli.training.loop import Watch
from tests.conftest import PictureFolder


def prepared(config: Path, *sets: str) -> Experiment:
    return Experiment.prepare(load_config(config, sets))


def trained(experiment: Experiment, folder: Path) -> Run:
    run = Run.create(folder, "run")
    Session(experiment, run, Display()).train()
    return run


def few_left(root: Path) -> None:
    """Leave two of the eight pictures of one class."""
    for number in range(2, 8):
        (root / "left" / f"{number}.jpg").unlink()


def test_sampling_reaches_the_plan(folder_config: Path, tmp_path: Path) -> None:
    """One picture of a class for every four of the others: as many of each are shown, or as there are."""
    few_left(tmp_path / "pictures")
    shown = {}
    for sampling in ("shuffle", "balanced"):
        loader = prepared(folder_config, f"data.sampling={sampling}", "data.test=0").train_loader()
        shown[sampling] = torch.cat([batch.labels for batch in loader.epoch(0)]).bincount().tolist()
    assert shown["shuffle"] == [1, 6, 6]
    assert sorted(shown["balanced"]) == [4, 4, 5]


def test_class_weights_reach_the_loss(folder_config: Path, tmp_path: Path) -> None:
    few_left(tmp_path / "pictures")
    experiment = prepared(folder_config, "loss.class_weights=balanced", "data.test=0")
    loader = experiment.train_loader()
    expected = compute_class_weight("balanced", classes=np.arange(3), y=loader.labels.numpy())
    weight = experiment.build_state(loader).criterion.weight
    assert weight.tolist() == pytest.approx(expected.tolist())


def test_jpegs_are_decoded_at_a_fraction_to_train_on_alone(
    folder_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures of 50 by 40 for a network that sees 16 pixels."""
    shrinks: list[int] = []
    part = Picture.part

    def noting(self: Picture, box: Any, channels: int, background: Any, shrink: int = 1) -> torch.Tensor:
        shrinks.append(shrink)
        return part(self, box, channels, background, shrink)

    monkeypatch.setattr(Picture, "part", noting)
    for cache in ("off", "memory"):
        experiment = prepared(folder_config, "data.size=16", f"data.cache={cache}")
        list(experiment.train_loader().epoch(0))
        assert set(shrinks) == {2}
        shrinks.clear()
        scored = experiment.eval_loader("val")
        assert scored is not None
        list(scored.in_order())
        assert set(shrinks) == {1}
        shrinks.clear()


def test_what_a_run_held_out_stays_held_out_when_pictures_are_added(folder_config: Path, tmp_path: Path) -> None:
    """By a run that goes on, if that is allowed, and by evaluation; the checkpoint goes on to name the same files."""
    root = tmp_path / "pictures"
    run = trained(prepared(folder_config, "train.epochs=1"), tmp_path)
    first = checkpoints.load(run.last)
    assert {split: len(names) for split, names in first.held_out.items()} == {"test": 6, "val": 6}
    for label in ("left", "right", "top"):
        for number in range(3):
            (root / label / f"0{number}.jpg").write_bytes((root / label / f"{number}.jpg").read_bytes())
    anew = prepared(folder_config, "train.epochs=2")
    assert anew.splits.held_out_names() != first.held_out
    resumed = Experiment.prepare(load_config(run.config, ["train.epochs=2"]), resumed=first)
    with pytest.raises(CheckpointError, match="\n  the train split: was 12 images, would be 21 images\n"):
        Session(resumed, run, Display()).train(first)
    Session(resumed, run, Display()).train(first, allow_changes=True)
    assert checkpoints.load(run.last).held_out == first.held_out
    scored = experiment_of(checkpoints.load(run.last))
    for experiment in (resumed, scored):
        for split, names in first.held_out.items():
            images = experiment.splits.load(split)  # type: ignore[arg-type]
            assert isinstance(images, Pictures)
            assert [images.name(row) for row in range(len(images))] == names
    train = resumed.splits.load("train")
    assert train is not None
    assert len(train) == 12 + 9


@pytest.mark.parametrize("spoiled", ["train", "val", "test"])
@pytest.mark.parametrize("cache", ["off", "disk"])
def test_broken_pictures_of_all_splits_are_listed(
    cache: str, spoiled: str, tmp_path: Path, picture_folder: PictureFolder
) -> None:
    root = picture_folder("train", "val", "test", per_class=2)
    broken = [root / spoiled / "left" / "1.jpg", root / "test" / "top" / "0.jpg"]
    for path in broken:
        path.write_bytes(b"text")
    config = tmp_path / "folder.yaml"
    config.write_text(
        f"data: {{name: image_folder, root: {root}, size: 32, workers: 0, cache: {cache}}}\n"
        "model: {name: tinyvgg}\ntrain: {epochs: 1}\nruntime: {device: cpu}\n"
    )
    experiment = prepared(config)
    with pytest.raises(DataError) as error, experiment.listing_broken(*experiment.splits.names):
        trained(experiment, tmp_path)
    lines = str(error.value).splitlines()
    assert lines[0] == "2 of 18 pictures cannot be read:"
    assert [line.partition(": ")[0].strip() for line in lines[1:-1]] == [str(path) for path in broken]
    if cache == "disk":  # known before the first step, whatever split they are of
        assert not (tmp_path / "run" / "history.jsonl").exists()


def test_nothing_that_can_be_read_is_an_error(folder_config: Path, tmp_path: Path) -> None:
    experiment = prepared(folder_config, "data.cache=off", "data.on_error=skip")
    val = experiment.splits.load("val")
    assert isinstance(val, Pictures)
    for row in range(len(val)):
        val.path(row).write_bytes(b"text")
    with pytest.raises(DataError, match="none of the images that were looked at can be read"):
        trained(experiment, tmp_path)
    with pytest.raises(DataError, match="none of the images that were looked at can be read"):
        launch.try_out(experiment, Display())


def test_skipped_pictures_are_counted_those_to_validate_on_included(folder_config: Path, tmp_path: Path) -> None:
    for cache in ("off", "memory", "disk"):
        experiment = prepared(folder_config, f"data.cache={cache}", "data.on_error=skip", "train.epochs=1")
        for split in ("train", "val", "test"):
            images = experiment.splits.load(split)  # type: ignore[arg-type]
            assert isinstance(images, Pictures)
            images.path(0).write_bytes(b"text")
        rows = trained(experiment, tmp_path / cache).read_history()
        assert [row["num_skipped"] for row in rows] == [2]


def test_ten_crops_are_scored_as_their_mean(folder_config: Path, tmp_path: Path) -> None:
    """Against probabilities averaged by hand over whole canvases."""
    run = trained(prepared(folder_config, "data.canvas=40", "train.epochs=1", "data.resize=crop"), tmp_path)
    checkpoint = checkpoints.load(run.last)
    experiment = experiment_of(checkpoint)
    loader = experiment.eval_loader("test")
    assert loader is not None
    model, means, labels = checkpoint.build(), [], []
    for batch in loader.in_order(canvases=True):
        assert batch.images.shape[2:] == (40, 40)
        with torch.inference_mode():
            means.append(torch.stack([model(view).softmax(1) for view in ten_views(batch.images, 32)]).mean(0))
        labels.append(batch.labels)
    probabilities, wanted = torch.cat(means), torch.cat(labels)
    metrics = score(experiment, checkpoint, loader, Watch(), ten_crop=True)
    expected = torch.nn.functional.nll_loss(probabilities.log(), wanted)
    assert metrics.loss == pytest.approx(expected.item(), rel=1e-5)
    assert metrics.accuracy == (probabilities.argmax(1) == wanted).double().mean().item()
    other = replace(experiment, config=experiment.config.model_copy(deep=True))
    other.config.loss.name = "rbf_map"
    with pytest.raises(ConfigError, match="ten crops average probabilities, which rbf_map has none of"):
        score(other, checkpoint, loader, Watch(), ten_crop=True)


def test_a_folder_is_scored_with_the_checkpoints_own_preprocessing(
    folder_config: Path, tmp_path: Path, picture_folder: PictureFolder
) -> None:
    """Other sides, another background, another order of classes: the loss is that of the pictures prepared by hand."""
    sets = ("data.resize=pad", "data.background=[10, 200, 30]", "data.canvas=36", "data.classes=[top, left, right]")
    run = trained(prepared(folder_config, *sets, "train.epochs=1"), tmp_path)
    checkpoint = checkpoints.load(run.last)
    root = picture_folder("test", per_class=3, size=(70, 30))
    (root / "left").rename(tmp_path / "elsewhere")  # the tree trained on
    experiment = experiment_of(checkpoint, data=root)
    assert experiment.splits.classes == ("left", "right", "top")
    loader = experiment.eval_loader("test")
    assert loader is not None
    network = checkpoints.load_network(run.last)
    losses = []
    for name in experiment.splits.classes:
        for number in range(3):
            with torch.inference_mode():
                logits = network.model(network.preprocess(root / "test" / name / f"{number}.jpg"))
            losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor([network.classes.index(name)])))
    assert score(experiment, checkpoint, loader, Watch()).loss == pytest.approx(
        torch.stack(losses).mean().item(), rel=1e-5
    )


def test_a_folder_without_splits_is_a_test_split(folder_config: Path, tmp_path: Path) -> None:
    checkpoint = checkpoints.load(trained(prepared(folder_config, "train.epochs=1"), tmp_path).last)
    experiment = experiment_of(checkpoint, data=tmp_path / "pictures")
    assert experiment.splits.names == ["test"]
    loader = experiment.eval_loader("test")
    assert loader is not None
    assert score(experiment, checkpoint, loader, Watch()).num_images == 24


def test_a_dry_run_writes_nothing(folder_config: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    launch.try_out(prepared(folder_config, "data.cache=off"), Display())
    assert sorted(tmp_path.rglob("*")) == before


def test_alexnet_is_the_papers() -> None:
    """Krizhevsky et al. 2012, sections 3 to 5."""
    config = load_config("alexnet")
    data, train = config.data, config.train
    assert (data.size, data.canvas, data.resize) == (227, 256, "crop")
    assert (config.augment.crop, config.augment.flip, config.augment.pca) == (True, True, 0.1)
    assert (train.batch_size, train.epochs) == (128, 90)
    assert config.optimizer.options.items() >= {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}.items()
    assert (config.schedule.name, config.schedule.options["gamma"]) == ("step", 0.1)
    assert 90 // config.schedule.options["every_epochs"] == 3  # reductions
    assert config.model.options.items() >= {"groups": 2, "lrn": True, "init": "paper"}.items()


def test_a_strangers_config_starts_no_download_and_no_more_workers_than_cores(
    folder_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = checkpoints.load(trained(prepared(folder_config), tmp_path / "runs").last)
    root = tmp_path / "elsewhere"
    checkpoint.config["data"] |= {"name": "torchvision", "dataset": "KMNIST", "root": str(root), "download": True}
    checkpoint.config["data"]["workers"] = 256
    checkpoint.classes[:] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]  # KMNIST's
    monkeypatch.setattr("cnncli.scoring.cores_a_rank", lambda: 3)
    experiment = experiment_of(checkpoint)
    assert (experiment.config.data.options["download"], experiment.workers) == (False, 3)
    with pytest.raises(DataError, match="KMNIST is absent or damaged; put these files there"):
        experiment.eval_loader("test")
    assert not root.exists()
