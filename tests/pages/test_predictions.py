"""The file of predictions."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from cnncli.analysis.predictions import Predictions
from cnncli.pages.predictions import write_predictions


@pytest.mark.parametrize("num_classes", [4, 31])
def test_predictions_are_a_row_an_image(num_classes: int, tmp_path: Path) -> None:
    probabilities = torch.randn(60, num_classes, generator=torch.Generator().manual_seed(0)).softmax(1)
    predictions = Predictions(torch.arange(60) * 2, torch.arange(60) % num_classes, probabilities)
    predictions.probabilities[0] = 1 / num_classes  # all alike: the first counts, as it does for accuracy
    classes = [f"name, {label}\udcff" for label in range(num_classes)]
    write_predictions(tmp_path / "p.csv", predictions, classes, None)
    named = [name.replace("\udcff", r"\udcff") for name in classes]
    with (tmp_path / "p.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:4] == ["image", "label", "prediction", "probability"]
    assert [int(row[0]) for row in rows] == predictions.rows.tolist()
    assert [named.index(row[1]) for row in rows] == predictions.labels.tolist()
    assert [named.index(row[2]) for row in rows] == predictions.probabilities.argmax(1).tolist()
    assert [np.float32(row[3]) for row in rows] == predictions.probabilities.max(1).values.tolist()
    if num_classes == 4:
        assert header[4:] == [f"p({name})" for name in named]
        assert np.array([row[4:] for row in rows], np.float32).tolist() == predictions.probabilities.tolist()
    else:
        assert header[4:] == ["top2", "p(top2)", "top3", "p(top3)", "top4", "p(top4)", "top5", "p(top5)"]
        likeliest = predictions.probabilities[1:].topk(5)
        assert [[named.index(name) for name in row[2::2]] for row in rows[1:]] == likeliest.indices.tolist()
        assert np.array([row[3::2] for row in rows[1:]], np.float32).tolist() == likeliest.values.tolist()
