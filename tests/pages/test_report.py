"""The page of the evaluation report: what is in it, and that a browser shows it and fetches nothing."""

import base64
import io
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cnncli.analysis.predictions import Predictions
from cnncli.analysis.report import Report, report_on
from cnncli.datasets import Names, Pictures
from cnncli.pages.report import page_of, write_report
from tests.browser import CHROMIUM, NEEDED

STRANGE = ["<script>alert(1)</script>", '" onload="alert(2)', "'><img src=http://x/>", "&amp;\u202e", "\udcff"]
SCORED: dict[str, Any] = {
    "checkpoint": "runs/<b>/best.pt",
    "split": "test",
    "num_images": 60,
    "loss": 1 / 3,
    "accuracy": 0.0,
    "top5_accuracy": None,
    "num_skipped": 2,
    "data": "<i>pictures</i>",
    "ten_crop": False,
    "model": "tinyvgg",
    "preprocess": {
        "size": 8,
        "channels": 3,
        "canvas": 9,
        "resize": "crop",
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "interpolation": "bicubic",
    },
}


def predicted(num_classes: int, num_images: int = 60) -> Predictions:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(num_images) % num_classes
    logits = torch.randn(num_images, num_classes, generator=random)
    logits[torch.arange(num_images), labels] += 1
    return Predictions(torch.arange(num_images), labels, logits.softmax(1))


def made(classes: list[str], files: Pictures | None = None) -> tuple[dict[str, Any], Report, Tensor]:
    """Return what a page is made of."""
    predictions = predicted(len(classes))
    report = report_on(predictions, classes, files)
    right = predictions.probabilities.argmax(1) == predictions.labels
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (len(report.mistakes), 3, 8, 8), dtype=torch.uint8, generator=random)
    return {**SCORED, "accuracy": right.double().mean().item()}, report, pixels


class Page(HTMLParser):
    """Takes a page apart: its tags with their attributes, the numbers in <data>, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.numbers = [float(found["value"] or "") for tag, found in self.tags if tag == "data"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def pictures_of(page: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_names_of_strangers_are_words_on_a_page_that_fetches_nothing() -> None:
    files = Pictures("/data", Names([b"\xff<img src=x onerror=alert(3)>.png"] * 60), torch.arange(60), torch.zeros(60))
    text = page_of(*made(STRANGE, files))
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "a"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "href"], tag
        assert (attributes.get("src") or "data:").startswith("data:")
    assert "url(" not in text
    assert "@import" not in text
    for word in (
        "<script>alert(1)</script>",
        r"&amp;\u202e",
        r"\udcff",
        "runs/<b>/best.pt",
        "<i>pictures</i>, test split",
    ):
        assert word in page.text, word
    assert r"\udcff<img src=x onerror=alert(3)>.png" in page.text
    text.encode()  # halves of characters were made visible


def test_its_numbers_are_those_of_the_report() -> None:
    scored, report, pixels = made(["a", "b", "c"])
    page = Page(page_of(scored, report, pixels))
    assert page.numbers == [
        scored["accuracy"],
        *report.accuracy_interval,
        scored["loss"],
        report.macro.f1,
        report.calibration.ece,
    ]
    bars = [attributes for tag, attributes in page.tags if tag == "rect"]
    assert len(bars) == 3 * sum(part.num_images > 0 for part in report.calibration.bins)
    for scores in report.classes:
        assert f"{scores.name}{scores.precision:.2%}".replace("%", " %") in page.text


def test_mistakes_are_shown_to_the_pixel_and_large_or_odd_ones_as_well_as_can_be() -> None:
    scored, report, pixels = made(["a", "b", "c"])
    for image, shown in zip(pixels, pictures_of(page_of(scored, report, pixels)), strict=True):
        assert np.array(shown).tolist() == image.permute(1, 2, 0).tolist()
    grey = pixels[:, :1]
    assert np.array(pictures_of(page_of(scored, report, grey))[0]).tolist() == grey[0, 0].tolist()
    two = torch.stack([torch.full((8, 8), value, dtype=torch.uint8) for value in (10, 20)]).expand(len(pixels), 2, 8, 8)
    assert np.unique(np.array(pictures_of(page_of(scored, report, two))[0])).tolist() == [15]
    large = torch.zeros(len(pixels), 3, 400, 400, dtype=torch.uint8)
    assert pictures_of(page_of(scored, report, large))[0].size == (160, 160)


def test_many_classes_have_a_picture_and_their_worst() -> None:
    """Blue on the diagonal, vermilion beside it, as strong as the root of the share of the row."""
    scored, report, pixels = made([f"class {number}" for number in range(40)])
    text = page_of(scored, report, pixels)
    dots = np.array(pictures_of(text)[0])
    assert dots.shape == (40, 40, 4)
    first = report.classes[0]
    assert dots[0, 0].tolist() == [0, 114, 178, round((first.correct / first.support) ** 0.5 * 255)]
    assert {tuple(colour) for colour in dots[~np.eye(40, dtype=bool)][:, :3].tolist()} == {(213, 94, 0)}
    assert (dots[~np.eye(40, dtype=bool), 3] > 0).sum() == len(report.confusions)
    assert text.count('<tr><th scope="row"') == 20 + 2  # and the means
    assert text.count('<tr><td class="name"') == 20
    many = page_of(*made([f"class {number}" for number in range(1500)]))
    assert pictures_of(many)[0].size == (600, 600)
    assert "A dot stands for about 2.5 classes a side." in many


def test_a_network_without_mistakes_and_a_loss_that_is_no_number() -> None:
    predictions = Predictions(torch.arange(2), torch.tensor([0, 1]), torch.eye(2))
    report = report_on(predictions, ["a", "b"])
    scored = {**SCORED, "num_images": 2, "loss": None, "accuracy": 1.0}
    page = Page(page_of(scored, report, torch.empty(0, 3, 8, 8, dtype=torch.uint8)))
    assert "Nothing was confused." in page.text
    assert "It made no mistake." in page.text
    assert "about as it should be" in page.text


def test_a_folder_is_made_and_what_else_is_in_it_stays(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    scored, report, pixels = made(STRANGE)
    write_report(folder, scored, report, pixels)
    (folder / "notes.txt").write_text("mine")
    write_report(folder, scored, report, pixels)
    assert {path.name for path in folder.iterdir()} == {"notes.txt", "report.html", "report.json"}
    written = json.loads((folder / "report.json").read_text())
    assert {key: written[key] for key in scored} == scored
    assert [row["name"] for row in written["classes"]] == STRANGE
    assert written["calibration"]["ece"] == report.calibration.ece


@pytest.mark.skipif(CHROMIUM is None, reason=NEEDED)
@pytest.mark.parametrize("harm", ["", '<img src="http://127.0.0.1/x.png">'])
def test_chromium_has_nothing_to_say_of_it(harm: str, tmp_path: Path) -> None:
    """It does say something of a page that fetches a picture, or this test would say nothing."""
    assert CHROMIUM is not None
    (tmp_path / "report.html").write_text(page_of(*made(STRANGE)).replace("<main>", f"<main>{harm}"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--enable-logging=stderr", "--v=0", "--dump-dom", (tmp_path / "report.html").as_uri()]
    done = subprocess.run([CHROMIUM, *flags], capture_output=True, text=True, timeout=120, check=True)
    assert ("CONSOLE" in done.stderr) == bool(harm), done.stderr
    assert "Where it is most wrong" in done.stdout
    assert "<script" not in done.stdout
