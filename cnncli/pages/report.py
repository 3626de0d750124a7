"""The evaluation report: one HTML page that needs nothing else, and its numbers as JSON beside it."""

import json
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from PIL import Image

from cnncli import __version__, files
from cnncli.pages.calibration import draw_calibration
from cnncli.pages.confusion import draw_confusion
from cnncli.pages.markup import data_url, exact, percent, text

if TYPE_CHECKING:
    from torch import Tensor

    from cnncli.analysis.report import ClassScores, Means, Mistake, Report

MOST_LISTED = 20  # classes where there are too many to show all
LARGEST_SIDE = 160  # of a mistake's picture; larger ones are scaled
SMALL_SIDE = 64  # of pictures that are shown pixel by pixel
RESIZED = {
    "squash": "squashed to a square",
    "crop": "of which the middle square is taken",
    "pad": "padded to a square",
}


def write_report(folder: Path, scored: dict[str, Any], report: "Report", pixels: "Tensor") -> None:
    """Write ``report.html`` and ``report.json`` to a folder, which is made where it is missing.

    ``scored`` says what was scored, how, and the totals; ``pixels`` uint8 [N, C, S, S] are those of the mistakes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "report.json": json.dumps({**scored, **asdict(report)}, allow_nan=False) + "\n",
        "report.html": page_of(scored, report, pixels),
    }
    for name, content in contents.items():
        with files.whole(folder / name) as file:
            file.write(content.encode())


def page_of(scored: dict[str, Any], report: "Report", pixels: "Tensor") -> str:
    """Return the page: it has no script, and fetches nothing."""
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    in_full = report.confusion_matrix is not None
    return template.substitute(
        title=text(f"{scored['model']} on {Path(scored['data']).name or scored['data']}, {scored['split']} split"),
        checkpoint=text(scored["checkpoint"]),
        accuracy=_accuracy(scored, report),
        tiles=_tiles(scored, report),
        confused=_confused(report),
        matrix=draw_confusion(report),
        which="" if in_full else f"Of {len(report.classes):,} classes these have the lowest F1.",
        classes=_classes(report, in_full),
        sureness=_sureness(scored, report),
        calibration=draw_calibration(report.calibration),
        mistaken=_mistaken(report),
        mistakes="".join(map(_mistake, report.mistakes, pixels)),
        facts=_facts(scored),
        version=__version__,
    )


def _accuracy(scored: dict[str, Any], report: "Report") -> str:
    share, (lower, upper) = scored["accuracy"], report.accuracy_interval
    right = sum(scores.correct for scores in report.classes)
    return (
        f"<b>{exact(share, percent(share))}</b>"
        f'<div class="scale"><i style="width:{share:.2%}"></i>'
        f'<i style="left:{lower:.2%};width:{upper - lower:.2%}"></i></div>'
        f"<p>{right:,} of {scored['num_images']:,} images are right. Of all images of this kind it is likely"
        f" {exact(lower, percent(lower))} to {exact(upper, percent(upper))}: the 95 % interval, the dark band.</p>"
    )


def _tiles(scored: dict[str, Any], report: "Report") -> str:
    top5, loss, f1, ece = scored["top5_accuracy"], scored["loss"], report.macro.f1, report.calibration.ece
    tiles = [
        ("Top-5 accuracy", top5, percent(top5), "The right class is among the five likeliest."),
        ("Loss", loss, f"{loss:.4f}" if loss is not None else "–", "What training makes small: the less, the better."),
        ("Macro F1", f1, percent(f1), "As if all classes had as many images."),
        ("Calibration error", ece, percent(ece), "How far sureness and accuracy are apart; 0 is perfect."),
    ]
    return "".join(
        f'<div class="tile"><span>{name}</span><b>{exact(value, shown)}</b><p>{meaning}</p></div>'
        for name, value, shown, meaning in tiles
        if value is not None
    )


def _confused(report: "Report") -> str:
    if not report.confusions:
        return "Nothing was confused."
    pairs = [f"{text(pair.label)} for {text(pair.prediction)} ({pair.num_images:,})" for pair in report.confusions[:3]]
    return f"Most often taken for another: {', '.join(pairs)}."


def _classes(report: "Report", in_full: bool) -> str:
    shown = report.classes
    if not in_full:
        known = [scores for scores in shown if scores.f1 is not None]
        shown = sorted(known, key=lambda scores: (scores.f1, -scores.support))[:MOST_LISTED]
    total = sum(scores.support for scores in report.classes)
    rows = [_row(scores.name, scores, f"{scores.support:,}") for scores in shown]
    feet = [_row("mean", report.macro, ""), _row("weighted mean", report.weighted, f"{total:,}")]
    heads = "<th>precision</th><th>recall</th><th>F1</th><th>images</th>"
    return (
        f'<table><thead><tr><th class="name">class</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody><tfoot>{''.join(feet)}</tfoot></table>"
    )


def _row(name: str, scores: "ClassScores | Means", images: str) -> str:
    cells = "".join(
        f'<td class="bar" style="--p:{share or 0:.3f}">{percent(share)}</td>'
        for share in (scores.precision, scores.recall, scores.f1)
    )
    return f'<tr><th scope="row" class="name" title="{text(name)}">{text(name)}</th>{cells}<td>{images}</td></tr>'


def _sureness(scored: dict[str, Any], report: "Report") -> str:
    sure = sum(part.confidence * part.num_images for part in report.calibration.bins if part.confidence is not None)
    mean = sure / scored["num_images"]
    lower, upper = report.accuracy_interval
    verdict = "too sure of itself" if mean > upper else "not sure enough" if mean < lower else "about as it should be"
    return (
        "Where the two meet, on the dashed line, it is right as often as it says. On average it is"
        f" {percent(mean)} sure and right in {percent(scored['accuracy'])}: {verdict}."
    )


def _mistaken(report: "Report") -> str:
    wrong = sum(pair.num_images for pair in report.confusions)
    if not wrong:
        return "It made no mistake."
    number = len(report.mistakes)
    which = f"The {number} of {wrong:,} mistakes that" if wrong > number else "All mistakes, first those that"
    return (
        f"{which} gave the right class the lowest probability, as the network saw them. Each has its"
        ' <span class="right">right class</span> and the <span class="wrong">answer</span>, with their probabilities.'
    )


def _mistake(mistake: "Mistake", pixels: "Tensor") -> str:
    name = Path(mistake.file).name if mistake.file else f"image {mistake.row}"
    lines = [("right", mistake.label, mistake.label_probability), ("wrong", mistake.prediction, mistake.probability)]
    caption = "".join(
        f'<div><b class="{kind}" title="{text(label)}">{text(label)}</b><span>{percent(share)}</span></div>'
        for kind, label, share in lines
    )
    look = "" if pixels.shape[-1] > SMALL_SIDE else ' class="pixels"'
    return (
        f'<figure><img{look} alt="{text(mistake.label)}" src="{data_url(_picture(pixels))}">'
        f'<figcaption>{caption}<small title="{text(mistake.file or name)}">{text(name)}</small></figcaption></figure>'
    )


def _picture(pixels: "Tensor") -> Image.Image:
    """Return uint8 [C, S, S] in colours, or in grey where the channels are none."""
    values = pixels.permute(1, 2, 0) if len(pixels) == 3 else pixels.float().mean(0).round().byte()
    image = Image.fromarray(values.numpy())
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return image


def _facts(scored: dict[str, Any]) -> str:
    preprocess = scored["preprocess"]
    size, channels, canvas = preprocess["size"], preprocess["channels"], preprocess["canvas"]
    mean, std = (", ".join(f"{value:g}" for value in preprocess[key]) for key in ("mean", "std"))
    views = "ten views are averaged" if scored["ten_crop"] else "the middle is seen"
    shape = f"{size} × {size} pixels, {'1 channel' if channels == 1 else f'{channels} channels'}"
    facts = {
        "Checkpoint": scored["checkpoint"],
        "Model": scored["model"],
        "Data": f"{scored['data']}, {scored['split']} split",
        "Left out": f"{scored['num_skipped']:,} files that cannot be read" if scored["num_skipped"] else "",
        "An image is": f"{shape}; pictures are {RESIZED[preprocess['resize']]}, {preprocess['interpolation']}",
        "Cut from": f"{canvas} × {canvas} pixels, of which {views}" if canvas > size else "",
        "Pixels become": f"(pixel / 255 − mean) / std, with mean {mean} and std {std}",
    }
    return "".join(f"<dt>{name}</dt><dd>{text(fact)}</dd>" for name, fact in facts.items() if fact)
