"""What is predicted of each image, and classes matched by name."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cnncli import checkpoint as checkpoints
from cnncli.config.validation import load_config
from cnncli.datasets import Pictures
from cnncli.display import Display
from cnncli.errors import DataError
from cnncli.experiment import Experiment
from cnncli.pipeline.resident import ResidentLoader
from cnncli.pipeline.streaming import StreamingLoader
from cnncli.run import Run
from cnncli.scoring import experiment_of, predict
from cnncli.session import Session
from cnncli.training.loop import Watch


def trained(config: Path, tmp_path: Path, *sets: str) -> checkpoints.Checkpoint:
    experiment = Experiment.prepare(load_config(config, ["train.epochs=1", *sets]))
    run = Run.at(tmp_path / "run")
    Session(experiment, run, Display()).train()
    return checkpoints.load(run.last)


@pytest.mark.parametrize("cache", ["off", "memory"])
def test_predictions_are_those_of_each_picture_by_itself(folder_config: Path, tmp_path: Path, cache: str) -> None:
    """Against cnncli.load on each file; one that is broken is left out, and the rows say so."""
    checkpoint = trained(
        folder_config, tmp_path, f"data.cache={cache}", "data.on_error=skip", "train.eval_batch_size=4"
    )
    experiment = experiment_of(checkpoint)
    listed = experiment.splits.load("test")
    assert isinstance(listed, Pictures)
    listed.path(1).write_bytes(b"text")
    loader = experiment.eval_loader("test")
    assert loader is not None
    metrics, predictions = predict(experiment, checkpoint, loader, Watch())
    assert loader.files is not None
    network = checkpoints.load_network(tmp_path / "run" / "checkpoints" / "last.pt")
    paths = [loader.files.path(row) for row in predictions.rows.tolist()]
    assert paths == [listed.path(row) for row in range(len(listed)) if row != 1]
    with torch.inference_mode():
        alone = torch.cat([network.model(network.preprocess(path)) for path in paths]).softmax(1)
    torch.testing.assert_close(predictions.probabilities, alone)
    right = (predictions.probabilities.argmax(1) == predictions.labels).double().mean().item()
    assert (metrics.num_images, metrics.accuracy) == (len(listed) - 1, right)
    seen = torch.stack([network.preprocess.pixels(path) for path in paths])
    torch.testing.assert_close(loader.pixels(predictions.rows), seen)


def test_a_checkpoint_has_nothing_written_to_the_cache_but_uses_what_is_there(
    folder_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = trained(folder_config, tmp_path, "data.cache=disk")
    kept = experiment_of(checkpoint).eval_loader("test")
    assert isinstance(kept, ResidentLoader)
    monkeypatch.setenv("CNN_CACHE", str(tmp_path / "empty"))
    assert isinstance(experiment_of(checkpoint).eval_loader("test"), StreamingLoader)
    assert not (tmp_path / "empty").exists()


def test_classes_in_another_order_are_matched_by_name_and_others_are_listed(
    tiny_config: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    checkpoint = trained(tiny_config, tmp_path)
    with np.load(tiny_npz) as arrays:
        images, labels = arrays["test_images"], arrays["test_labels"]
    notes: list[str] = []

    def predicted(name: str, labels: "np.ndarray[tuple[int], np.dtype[np.int64]]", *classes: str) -> torch.Tensor:
        path = tmp_path / f"{name}.npz"
        np.savez(path, test_images=images, test_labels=labels, classes=np.array(classes))
        experiment = experiment_of(checkpoint, path, note=notes.append)
        loader = experiment.eval_loader("test")
        assert loader is not None
        return predict(experiment, checkpoint, loader, Watch())[1].labels

    assert predicted("turned", 3 - labels, "3", "2", "1", "0").tolist() == labels.tolist()
    assert notes == ["the data have the classes in another order than the network; they are matched by name"]
    assert predicted("with_one_absent", labels % 3, "0", "1", "2", "3").max() == 2
    with pytest.raises(DataError, match="\n  only the network knows 3\n"):
        predicted("without", labels % 3, "0", "1", "2")
    with pytest.raises(DataError, match="\n  only the data have cat, dog\n  only the network knows 2, 3\n"):
        predicted("other", labels, "0", "1", "cat", "dog")
