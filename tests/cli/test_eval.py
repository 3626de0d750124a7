"""``cnn eval``: its report, its predictions, and data whose classes are not those of the network."""

import base64
import csv
import io
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix

from cnncli import checkpoint as checkpoints
from cnncli.run import Run
from tests.conftest import Cnn, write_pictures, write_tiny_npz


def refused(done: "subprocess.CompletedProcess[str]", code: int) -> str:
    """Return the message of a command that ended with an exit code."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_report_predictions_and_json_have_the_same_numbers(tiny_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    """The totals are those of ``cnn eval`` alone, and scikit-learn finds the matrix and accuracy from the CSV."""
    plain = json.loads(cnn("eval", tiny_run.best, "--json").stdout)
    done = cnn("eval", tiny_run.best, "--report", "new/report", "--predictions", "p.csv", "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == plain | {"report": "new/report/report.html", "predictions": "p.csv"}
    report = json.loads((tmp_path / "new" / "report" / "report.json").read_text())
    assert {key: report[key] for key in plain} == plain
    assert (report["model"], report["data"], report["ten_crop"]) == ("lenet5", "npz", False)
    assert report["preprocess"] == checkpoints.load(tiny_run.best).preprocess
    page = (tmp_path / "new" / "report" / "report.html").read_text()
    numbers = [float(number) for number in re.findall(r'<data value="([^"]+)"', page)]
    assert numbers[:4] == [plain["accuracy"], *report["accuracy_interval"], plain["loss"]]
    assert numbers[4:] == [report["macro"]["f1"], report["calibration"]["ece"]]
    rows = rows_of(tmp_path / "p.csv")
    assert [row["image"] for row in rows] == [str(number) for number in range(20)]
    labels, answers = ([row[key] for row in rows] for key in ("label", "prediction"))
    assert labels == [str(number % 4) for number in range(20)]  # as write_tiny_npz gives them
    assert accuracy_score(labels, answers) == plain["accuracy"]
    assert report["confusion_matrix"] == confusion_matrix(labels, answers).tolist()
    for row in rows:
        shares = [float(row[f"p({name})"]) for name in "0123"]
        assert sum(shares) == pytest.approx(1, abs=1e-6)
        assert float(row["probability"]) == max(shares)


def test_mistakes_are_the_pictures_that_the_network_saw(folder_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    """Pictures turned about, which a network must get wrong; their file names and their pixels."""
    pictures = write_pictures(tmp_path / "pictures", per_class=4)
    (pictures / "left").rename(pictures / "x")
    (pictures / "right").rename(pictures / "left")
    (pictures / "x").rename(pictures / "right")
    done = cnn("eval", folder_run.last, "--data", "pictures", "--report", "report", "--predictions", "p.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["report  report/report.html", "predictions  p.csv"]
    rows = rows_of(tmp_path / "p.csv")
    assert {row["image"] for row in rows} == {str(path) for path in pictures.rglob("*.jpg")}
    wrong = sorted(
        (row for row in rows if row["label"] != row["prediction"]), key=lambda row: float(row[f"p({row['label']})"])
    )
    assert len(wrong) >= 4
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["data"] == "pictures"
    assert [mistake["file"] for mistake in report["mistakes"]] == [row["image"] for row in wrong]
    page = (tmp_path / "report" / "report.html").read_text()
    network = checkpoints.load_network(folder_run.last)
    shown = re.findall(r'<figure><img[^>]* src="data:image/png;base64,([^"]+)"', page)
    for data, row in zip(shown, wrong, strict=True):
        pixels = np.array(Image.open(io.BytesIO(base64.b64decode(data))))
        assert pixels.tolist() == network.preprocess.pixels(row["image"]).permute(1, 2, 0).tolist()
        assert Path(row["image"]).name in page


def test_ten_crops_are_reported_as_well(folder_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    loaded = checkpoints.load(folder_run.last)
    checkpoints.save(replace(loaded, preprocess=loaded.preprocess | {"canvas": 40}), tmp_path / "large.pt")
    done = cnn("eval", "large.pt", "--ten-crop", "--json", "--report", "report", "--predictions", "p.csv")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (report["ten_crop"], report["loss"]) == (True, printed["loss"])
    rows = rows_of(tmp_path / "p.csv")
    assert len(rows) == printed["num_images"]
    loss = -np.mean([np.log(float(row[f"p({row['label']})"])) for row in rows])  # of the mean probabilities
    assert loss == pytest.approx(printed["loss"], rel=1e-5)
    assert "40 × 40 pixels, of which ten views are averaged" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--report", "file"), "--report file: a report is a folder, but file is a file"),
        (("--report", "file/in/it"), "a report is a folder, but file is a file"),
        (("--predictions", "file"), "--predictions file: say a file whose name ends in .csv"),
        (("--predictions", "absent/p.csv"), "--predictions absent/p.csv: there is no folder absent"),
        (("--predictions", "folder.csv"), "--predictions folder.csv: say a file whose name ends in .csv"),
    ],
)
def test_what_cannot_be_written_is_known_before_anything_is_read(
    options: tuple[str, ...], problem: str, cnn: Cnn, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    assert problem in refused(cnn("eval", "missing.pt", *options), 2)
    assert (tmp_path / "file").read_text() == "mine"


def npz_of(folder: Path, labels: Any, *classes: str) -> Path:
    """Write the tiny test images with other labels, and the names of their classes."""
    with np.load(write_tiny_npz(folder)) as arrays:
        images = arrays["test_images"]
    path = folder / "other.npz"
    np.savez(path, test_images=images, test_labels=labels(np.arange(20) % 4), classes=np.array(classes))
    return path


def test_classes_in_another_order_are_matched_by_name(tiny_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    other = npz_of(tmp_path, lambda labels: 3 - labels, "3", "2", "1", "0")
    done = cnn("eval", tiny_run.best, "--data", other, "--report", "report", "--json")
    assert done.returncode == 0, done.stderr
    assert "in another order than the network; they are matched by name" in done.stderr
    plain = json.loads(cnn("eval", tiny_run.best, "--report", "plain", "--json").stdout)
    assert json.loads(done.stdout)["accuracy"] == plain["accuracy"]
    here, there = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("report", "plain"))
    assert here["classes"] == there["classes"]
    assert here["mistakes"] == there["mistakes"]


def test_a_class_without_images_is_nothing_to_divide_by(tiny_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    other = npz_of(tmp_path, lambda labels: labels % 3, "0", "1", "2", "3")
    done = cnn("eval", tiny_run.best, "--data", other, "--report", "report", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    absent = report["classes"][3]
    assert (absent["support"], absent["recall"]) == (0, None)
    present = [scores["recall"] for scores in report["classes"][:3]]
    assert report["macro"]["recall"] == pytest.approx(sum(present) / 3)
    assert '<td class="bar" style="--p:0.000">–</td>' in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("classes", "listed"),
    [
        (("0", "1", "2"), "  only the network knows 3\n"),
        (("0", "1", "2", "3", "cat"), "  only the data have cat\n"),
        (("0", "1", "cat", "\x1b[31mdog"), "  only the data have cat, \\x1b[31mdog\n  only the network knows 2, 3\n"),
    ],
)
def test_other_classes_are_listed(
    classes: tuple[str, ...], listed: str, tiny_run: Run, cnn: Cnn, tmp_path: Path
) -> None:
    other = npz_of(tmp_path, lambda labels: labels % len(classes), *classes)
    for more in ((), ("--report", "report", "--predictions", "p.csv")):
        said = refused(cnn("eval", tiny_run.best, "--data", other, *more), 3)
        assert f"the classes of the data are not those of the network:\n{listed}" in said
    assert not (tmp_path / "report").exists()
    assert not (tmp_path / "p.csv").exists()


def test_folders_of_other_names_are_listed(folder_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "pictures", per_class=1)
    (pictures / "top").rename(pictures / "bottom")
    said = refused(cnn("eval", folder_run.last, "--data", pictures), 3)
    assert "\n  only the data have bottom\n  only the network knows top\n" in said


def test_weights_that_diverged_are_no_report(tiny_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    loaded = checkpoints.load(tiny_run.best)
    weights = {name: torch.full_like(values, torch.nan) for name, values in loaded.weights.items()}
    checkpoints.save(replace(loaded, weights=weights), tmp_path / "nan.pt")
    assert json.loads(cnn("eval", "nan.pt", "--json").stdout)["loss"] is None
    assert "of 20 of 20 images the network gives no number" in refused(cnn("eval", "nan.pt", "--report", "report"), 4)
