"""What scores, what predicts and what was exported say the same of all 10,000 test digits."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnncli import launch
from cnncli.config.validation import load_config
from cnncli.datasets.mnist import MNIST
from cnncli.display import Display
from cnncli.run import Run
from tests.conftest import Cnn


def test_eval_predict_and_onnx_agree_on_all_test_digits(tmp_path: Path, cnn: Cnn) -> None:
    """By the real commands, of a network that has seen 6,000 digits, so that it is right on most and not too sure."""
    onnxruntime = pytest.importorskip("onnxruntime")
    run = Run.at(tmp_path / "run")
    sets = ["data.validation=0.9", "train.batch_size=32", "train.epochs=1", "runtime.device=cpu"]
    launch.train(load_config("lenet5", sets), run, Display())
    digits = MNIST().load("test")
    (tmp_path / "digits").mkdir()
    for number, image in enumerate(digits.images[:, 0].numpy()):
        Image.fromarray(image).save(tmp_path / "digits" / f"{number:05}.png", compress_level=0)

    assert cnn("eval", run.last, "--predictions", "scored.csv").returncode == 0
    with (tmp_path / "scored.csv").open() as file:
        scored = list(csv.DictReader(file))
    predicted = json.loads(cnn("predict", run.last, "digits", "--top", "10", "--json").stdout)["predictions"]
    assert cnn("export", run.last, "--to", "onnx", "-o", "lenet5.onnx").returncode == 0
    session = onnxruntime.InferenceSession(tmp_path / "lenet5.onnx", providers=["CPUExecutionProvider"])
    (exported,) = session.run(None, {"image": digits.images.numpy()})

    classes = MNIST().classes
    by_eval = np.array([[float(row[f"p({name})"]) for name in classes] for row in scored])
    likely = [{entry["label"]: entry["probability"] for entry in row["top"]} for row in predicted]
    by_predict = np.array([[row[name] for name in classes] for row in likely])
    assert by_eval.shape == by_predict.shape == exported.shape == (10_000, 10)
    assert [Path(row["path"]).stem for row in predicted] == [f"{int(row['image']):05}" for row in scored]
    assert 0.5 < np.mean([row["label"] == row["prediction"] for row in scored]) < 1
    for others in (by_predict, exported):
        assert np.abs(others - by_eval).max() <= 1e-4
    labels = [classes[label] for label in exported.argmax(1)]
    assert labels == [row["prediction"] for row in scored] == [row["label"] for row in predicted]
