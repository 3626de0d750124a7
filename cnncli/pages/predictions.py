"""What is predicted of each image, as a CSV file."""

import codecs
import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnncli import files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnncli.analysis.predictions import Predictions
    from cnncli.datasets import Pictures

MOST_COLUMNS = 30  # for a class each
NUM_LIKELIEST = 5


def write_predictions(path: Path, predictions: "Predictions", classes: list[str], pictures: "Pictures | None") -> None:
    """Write a row an image: its file, or its number in the split; its label, the prediction and its probability.

    Then comes the probability of each class, in a column ``p(class)``; or of over 30 classes the second to fifth
    likeliest, each with its probability. Nine digits tell a float32.
    """
    is_wide = len(classes) > MOST_COLUMNS
    others = [column for k in range(2, NUM_LIKELIEST + 1) for column in (f"top{k}", f"p(top{k})")]
    columns = ["image", "label", "prediction", "probability", *(others if is_wide else [f"p({c})" for c in classes])]
    with files.whole(path) as file:
        text = codecs.getwriter("utf-8")(file, "backslashreplace")  # some file names are no text
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        labels, probabilities = predictions.labels.tolist(), predictions.probabilities.numpy()
        for row, label, each in zip(predictions.rows.tolist(), labels, probabilities, strict=True):
            likeliest = _likeliest(each, classes, NUM_LIKELIEST if is_wide else 1)
            rest = [] if is_wide else [_digits(share) for share in each]
            writer.writerow([pictures.path(row) if pictures else row, classes[label], *likeliest, *rest])


def _likeliest(probabilities: "NDArray[np.float32]", classes: list[str], number: int) -> list[str]:
    """Return the likeliest classes, each with its probability; of equal ones the first, as argmax does."""
    order = np.argsort(-probabilities, kind="stable")[:number]
    return [word for answer in order for word in (classes[answer], _digits(probabilities[answer]))]


def _digits(share: np.float32) -> str:
    return f"{share:.9g}"
