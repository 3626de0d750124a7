"""A confusion matrix as HTML: a table in colours, or with many classes a picture."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cnncli.pages.markup import data_url, text

if TYPE_CHECKING:
    from cnncli.analysis.report import Report

MOST_DOTS = 600  # a side of the picture; with more classes a dot is several
MOST_PAIRS = 20
SHORT = 4  # letters of a name that need not stand upright
RIGHT, WRONG = (0, 114, 178), (213, 94, 0)  # Okabe and Ito's blue and vermilion, told apart by all kinds of sight


def draw_confusion(report: "Report") -> str:
    """Return the matrix: with numbers where the report has them, else as a picture."""
    if report.confusion_matrix is None:
        return _picture(report)
    names = [text(scores.name) for scores in report.classes]
    upright = ' class="upright"' if max(map(len, names)) > SHORT else ""
    heads = "".join(f'<th scope="col" class="name" title="{name}"><div{upright}>{name}</div></th>' for name in names)
    rows = [
        f'<tr><th scope="row" class="name" title="{name}">{name}</th>{_cells(counts, label)}</tr>'
        for label, (name, counts) in enumerate(zip(names, report.confusion_matrix, strict=True))
    ]
    head = f'<thead><tr><th class="name">class ↓<br>taken for →</th>{heads}</tr></thead>'
    return f'<div class="wide"><table class="matrix">{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _cells(counts: list[int], label: int) -> str:
    """Return a row, in which mistakes, which are few, have the colour of the root of their share."""
    total, cells = max(sum(counts), 1), []
    for answer, count in enumerate(counts):
        strength = count / total if answer == label else (count / total) ** 0.5
        kinds = ["hit"] * (answer == label) + ["none"] * (not count) + ["deep"] * (strength > 0.75)
        cells.append(f'<td class="{" ".join(kinds)}" style="--p:{strength:.3f}">{count:,}</td>')
    return "".join(cells)


def _picture(report: "Report") -> str:
    """Return the matrix with a dot for each cell, or for each square of neighbouring classes."""
    num_classes, number = len(report.classes), {scores.name: label for label, scores in enumerate(report.classes)}
    cells = [(number[pair.label], number[pair.prediction], pair.num_images) for pair in report.confusions]
    cells += [(label, label, scores.correct) for label, scores in enumerate(report.classes)]
    labels, answers, counts = np.array(cells).T
    side = min(num_classes, MOST_DOTS)
    dots = np.zeros((side, side))
    np.add.at(dots, (labels * side // num_classes, answers * side // num_classes), counts)
    strength = np.sqrt(dots / np.maximum(dots.sum(1, keepdims=True), 1))
    colours = np.full((side, side, 4), (*WRONG, 0), np.uint8)
    colours[np.arange(side), np.arange(side)] = (*RIGHT, 0)
    colours[..., 3] = np.round(strength * 255)  # nothing is the paper's colour, by day and by night
    source = data_url(Image.fromarray(colours))
    each = "" if side == num_classes else f" A dot stands for about {num_classes / side:.1f} classes a side."
    return (
        '<div class="plots"><div class="plot">'
        f'<img class="dots pixels" alt="The confusion matrix as a picture" src="{source}">'
        f'<p class="soft">Classes in their order, from the top and from the left.{each}</p></div>{_pairs(report)}</div>'
    )


def _pairs(report: "Report") -> str:
    rows = "".join(
        f"<tr>{_name(pair.label)}{_name(pair.prediction)}<td>{pair.num_images:,}</td></tr>"
        for pair in report.confusions[:MOST_PAIRS]
    )
    heads = '<th class="name">class</th><th class="name">taken for</th><th>images</th>'
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _name(name: str) -> str:
    return f'<td class="name" title="{text(name)}">{text(name)}</td>'
