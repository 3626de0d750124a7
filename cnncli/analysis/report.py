"""What predictions are worth: by class, by pair of classes, by how sure the network is, and where it is most wrong."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cnncli.analysis.predictions import Predictions
from cnncli.analysis.significance import wilson_interval
from cnncli.datasets import Pictures
from cnncli.errors import CheckpointError

NUM_BINS = 15
MOST_MISTAKES = 36
MOST_IN_FULL = 30  # classes of which each has a row and a column of its own


@dataclass(frozen=True)
class ClassScores:
    """How a class is found: ``support`` images are of it, ``predicted`` were taken for it, ``correct`` are both.

    ``precision`` is correct / predicted, ``recall`` correct / support, ``f1`` their harmonic mean; ``None`` where there
    is nothing to divide by.
    """

    name: str
    support: int
    predicted: int
    correct: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Means:
    """Means over the classes that have images; what is ``None`` of a class is left out."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Confusion:
    """How many images of a class were taken for another one."""

    label: str
    prediction: str
    num_images: int


@dataclass(frozen=True)
class Bin:
    """The images whose highest probability is ``above`` a number and at most ``up_to`` another: its mean, and truth."""

    above: float
    up_to: float
    num_images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Whether a network is right as often as it says.

    ``ece`` is the expected calibration error with 15 bins of equal width of the highest probability: the mean over all
    images of the distance between the accuracy and the mean probability of their bin (Guo et al., "On calibration of
    modern neural networks", 2017).
    """

    ece: float
    bins: list[Bin]


@dataclass(frozen=True)
class Mistake:
    """An image that was taken for another class; ``file`` is ``None`` where it has none, ``row`` is its number."""

    row: int
    file: str | None
    label: str
    label_probability: float
    prediction: str
    probability: float


@dataclass(frozen=True)
class Report:
    """All that ``report.json`` holds beside the totals and what was scored.

    ``confusion_matrix`` counts images by label (row) and prediction (column); ``None`` with over 30 classes, when
    ``confusions``, the pairs that were confused, most often first, and the classes say the same in less. ``mistakes``
    are the 36 wrong answers that gave the right class the lowest probability, lowest first.
    """

    accuracy_interval: tuple[float, float]
    classes: list[ClassScores]
    macro: Means
    weighted: Means
    confusion_matrix: list[list[int]] | None
    confusions: list[Confusion]
    calibration: Calibration
    mistakes: list[Mistake]

    def rows_of_mistakes(self) -> Tensor:
        """Return the numbers of their images, int64 [N]."""
        return torch.tensor([mistake.row for mistake in self.mistakes], dtype=torch.long)


def report_on(predictions: Predictions, classes: list[str], files: Pictures | None = None) -> Report:
    """Measure predictions; ``files`` are those of the rows, where there are any.

    Raises ``CheckpointError`` where they are no numbers.
    """
    labels, probabilities = predictions.labels, predictions.probabilities
    if bad := int((~probabilities.isfinite()).any(1).sum()):
        raise CheckpointError(f"of {bad:,} of {len(labels):,} images the network gives no number: its weights diverged")
    confidences, answers = probabilities.max(1)
    right = answers == labels
    num_classes = len(classes)
    counts = torch.stack([found.bincount(minlength=num_classes) for found in (labels, answers, labels[right])])
    support, predicted, correct = counts.double()
    scores = torch.stack([correct / predicted, correct / support, 2 * correct / (support + predicted)])
    return Report(
        accuracy_interval=wilson_interval(int(right.sum()), len(labels)),
        classes=_by_class(classes, counts, scores),
        macro=_means(scores, support > 0),
        weighted=_means(scores, support),
        confusion_matrix=_matrix(labels, answers, num_classes) if num_classes <= MOST_IN_FULL else None,
        confusions=_confusions(labels[~right], answers[~right], classes),
        calibration=calibration_of(confidences.double(), right),
        mistakes=_mistakes(predictions, answers, classes, files),
    )


def calibration_of(confidences: Tensor, right: Tensor) -> Calibration:
    """Compare the highest probability of each image, float64 [N], with whether it was ``right``, bool [N]."""
    edges = torch.arange(NUM_BINS + 1).double() / NUM_BINS
    bins = torch.bucketize(confidences, edges[1:-1])  # a probability on an edge belongs below it
    counts = bins.bincount(minlength=NUM_BINS)
    confidence, accuracy = (
        bins.bincount(weights=values, minlength=NUM_BINS) / counts for values in (confidences, right.double())
    )
    ece = ((confidence - accuracy).abs() * counts).nansum() / len(confidences)
    columns = edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), _or_none(confidence), _or_none(accuracy)
    return Calibration(ece.item(), [Bin(*row) for row in zip(*columns, strict=True)])


def _by_class(classes: list[str], counts: Tensor, scores: Tensor) -> list[ClassScores]:
    columns = *counts.tolist(), *map(_or_none, scores)
    return [ClassScores(*row) for row in zip(classes, *columns, strict=True)]


def _means(scores: Tensor, weights: Tensor) -> Means:
    """Return the weighted means of scores float64 [3, num_classes], but for those that are nan."""
    weighing = weights * ~scores.isnan()
    return Means(*_or_none((scores.nan_to_num() * weighing).sum(1) / weighing.sum(1)))


def _matrix(labels: Tensor, answers: Tensor, num_classes: int) -> list[list[int]]:
    matrix: list[list[int]] = (
        (labels * num_classes + answers).bincount(minlength=num_classes**2).view(num_classes, num_classes).tolist()
    )
    return matrix


def _confusions(labels: Tensor, answers: Tensor, classes: list[str]) -> list[Confusion]:
    """Return the pairs of wrong answers, most often first, else in the order of the classes; takes no matrix."""
    cells, counts = np.unique((labels * len(classes) + answers).numpy(), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    pairs = zip(*np.divmod(cells[order], len(classes)), counts[order].tolist(), strict=True)
    return [Confusion(classes[label], classes[answer], count) for label, answer, count in pairs]


def _mistakes(predictions: Predictions, answers: Tensor, classes: list[str], files: Pictures | None) -> list[Mistake]:
    labels, probabilities = predictions.labels, predictions.probabilities
    wrong = (answers != labels).nonzero().squeeze(1)
    worst = wrong[probabilities[wrong, labels[wrong]].argsort(stable=True)[:MOST_MISTAKES]].tolist()
    return [
        Mistake(
            row=(row := int(predictions.rows[place])),
            file=str(files.path(row)) if files else None,
            label=classes[label := int(labels[place])],
            label_probability=probabilities[place, label].item(),
            prediction=classes[answer := int(answers[place])],
            probability=probabilities[place, answer].item(),
        )
        for place in worst
    ]


def _or_none(values: Tensor) -> list[float | None]:
    """Return numbers, but ``None`` for nan, which JSON lacks."""
    return [None if math.isnan(value) else value for value in values.tolist()]
