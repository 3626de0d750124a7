"""The numbers of the evaluation report, against scikit-learn's and SciPy's and loops written by hand."""

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from cnncli.analysis.predictions import Predictions
from cnncli.analysis.report import Report, calibration_of, report_on
from cnncli.errors import CheckpointError


def random_predictions(num_images: int, num_classes: int, seed: int) -> Predictions:
    """Return predictions, a third of them right or so; class 0 has no image, 1 has one, and 2 is never predicted."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, num_classes, (num_images,), generator=random)
    labels[0] = 1
    logits = torch.randn(num_images, num_classes, generator=random)
    logits[torch.arange(num_images), labels] += 1.5
    logits[:, 2] = -9
    return Predictions(torch.arange(num_images) * 2, labels, logits.softmax(1))


def reported(predictions: Predictions) -> Report:
    return report_on(predictions, [str(label) for label in range(predictions.probabilities.shape[1])])


def assert_close(ours: list[Any], theirs: Any) -> None:
    """Compare to 1e-12; where scikit-learn says nan, we say ``None``."""
    np.testing.assert_allclose(np.array(ours, dtype=float), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("num_images", "num_classes"), [(1, 3), (7, 5), (500, 10), (400, 40)])
def test_scores_are_those_of_scikit_learn(num_images: int, num_classes: int, seed: int) -> None:
    predictions = random_predictions(num_images, num_classes, seed)
    report = reported(predictions)
    labels, answers = predictions.labels.numpy(), predictions.probabilities.argmax(1).numpy()
    every = range(num_classes)
    of_each = precision_recall_fscore_support(labels, answers, labels=every, zero_division=np.nan)
    ours = zip(*((c.precision, c.recall, c.f1, c.support) for c in report.classes), strict=True)
    for mine, theirs in zip(ours, of_each, strict=True):
        assert_close(list(mine), theirs)
    assert (report.classes[0].recall, report.classes[2].precision) == (None, None)
    for means, average in ((report.macro, "macro"), (report.weighted, "weighted")):
        there = sorted(set(labels.tolist()))
        *theirs, _ = precision_recall_fscore_support(
            labels, answers, labels=there, average=average, zero_division=np.nan
        )
        assert_close(list(astuple(means)), theirs)
    matrix = confusion_matrix(labels, answers, labels=every)
    assert report.confusion_matrix == (matrix.tolist() if num_classes <= 30 else None)
    again = np.diag([scores.correct for scores in report.classes])
    for pair in report.confusions:
        again[int(pair.label), int(pair.prediction)] = pair.num_images
    assert again.tolist() == matrix.tolist()
    counts = [pair.num_images for pair in report.confusions]
    assert counts == sorted(counts, reverse=True)


def test_calibration_is_as_guo_et_al_define_it() -> None:
    """A loop over (m - 1) / 15 < p <= m / 15, edges among them; and the curve of scikit-learn."""
    random = np.random.default_rng(0)
    confidences = np.concatenate([random.uniform(0.3, 1, 400), np.arange(5, 16) / 15])
    right = random.random(len(confidences)) < confidences**2
    found = calibration_of(torch.from_numpy(confidences), torch.from_numpy(right))
    ece = 0.0
    for number, part in enumerate(found.bins):
        inside = (number / 15 < confidences) & (confidences <= (number + 1) / 15)
        assert part.num_images == inside.sum()
        if inside.any():
            ece += inside.sum() / len(confidences) * abs(right[inside].mean() - confidences[inside].mean())
        else:
            assert (part.confidence, part.accuracy) == (None, None)
    assert found.ece == pytest.approx(ece, abs=1e-12)
    accuracies, means = calibration_curve(right[:400], confidences[:400], n_bins=15)
    without_edges = calibration_of(torch.from_numpy(confidences[:400]), torch.from_numpy(right[:400]))
    assert_close([part.accuracy for part in without_edges.bins if part.num_images], accuracies)
    assert_close([part.confidence for part in without_edges.bins if part.num_images], means)


def test_the_worst_mistakes_are_those_with_the_least_for_the_right_class() -> None:
    probabilities = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.3, 0.7], [0.8, 0.2]])
    report = report_on(
        Predictions(torch.tensor([3, 5, 8, 9]), torch.tensor([1, 1, 1, 0]), probabilities), ["cat", "dog"]
    )
    assert [(m.row, m.file, m.label, m.prediction) for m in report.mistakes] == [
        (5, None, "dog", "cat"),
        (3, None, "dog", "cat"),
    ]
    assert report.mistakes[0].label_probability == pytest.approx(0.1)
    assert report.mistakes[0].probability == pytest.approx(0.9)
    assert report.rows_of_mistakes().tolist() == [5, 3]
    many = random_predictions(200, 6, 0)
    wrong = many.probabilities.argmax(1) != many.labels
    given = many.probabilities[wrong, many.labels[wrong]].sort().values[:36]
    assert [mistake.label_probability for mistake in reported(many).mistakes] == given.tolist()


def test_thousands_of_classes_take_no_matrix() -> None:
    """Which would be 80 GB."""
    probabilities = torch.full((2, 100_000), 1e-6)
    probabilities[:, 7] = 0.9
    report = reported(Predictions(torch.arange(2), torch.tensor([7, 99_999]), probabilities))
    assert report.macro.recall == 0.5
    assert [astuple(pair) for pair in report.confusions] == [("99999", "7", 1)]


def test_what_is_no_number_is_named() -> None:
    predictions = random_predictions(5, 4, 0)
    predictions.probabilities[2] = float("nan")
    with pytest.raises(CheckpointError, match=r"^of 1 of 5 images the network gives no number"):
        reported(predictions)
