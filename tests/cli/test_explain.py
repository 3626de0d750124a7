"""``cnn explain``, through the real command."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cnncli import checkpoint as checkpoints
from cnncli.analysis.explanation import results
from cnncli.checkpoint import load, load_network
from cnncli.commands import explain
from cnncli.pages.explain.reading import read_page
from cnncli.run import Run
from tests.conftest import Cnn
from tests.models.explainer import EXPLAINER, needs_explainer


@pytest.fixture
def pictures(folder_run: Run, tmp_path: Path) -> list[Path]:
    """Return two pictures, a broken one, and one of the same name elsewhere."""
    source = folder_run.path.parents[1] / "pictures" / "top"
    paths = [tmp_path / name for name in ("a.jpg", "b c.jpg", "text.jpg", "other/a.jpg")]
    paths[-1].parent.mkdir()
    for number, path in enumerate(paths):
        shutil.copy(source / f"{number}.jpg", path)
    paths[2].write_text("not a picture")
    return paths


def test_a_page_of_several_pictures(folder_run: Run, pictures: list[Path], cnn: Cnn, tmp_path: Path) -> None:
    done = cnn("explain", folder_run.best, "a.jpg", "b c.jpg", "other/a.jpg", "--label", "top", "--cam")
    assert done.returncode == 0
    explanation = read_page(tmp_path / "explain.html")
    network = load_network(folder_run.best)
    assert [view.name for view in explanation.views] == ["a.jpg", "b c.jpg", "a.jpg (2)"]
    lines = done.stdout.splitlines()
    for view, path, line in zip(explanation.views, ("a.jpg", "b c.jpg", "other/a.jpg"), lines[:3], strict=True):
        image = network.preprocess(tmp_path / path)
        with torch.no_grad():
            logits = network.model(image)[0]
        values = results(explanation, view)
        assert torch.equal(values[0], image[0])
        torch.testing.assert_close(values[-2], logits)
        assert view.label == network.classes.index("top")
        assert view.cam is not None
        best, share = network.classes[logits.argmax()], logits.softmax(0).max()
        assert line == f"{path}: {best}, {share:.2%}; it is top"
    size = (tmp_path / "explain.html").stat().st_size
    assert lines[3:] == [f"explain.html: {size / 1e6:.1f} MB"]
    assert done.stderr == ""


def test_a_page_says_nothing_of_folders(folder_run: Run, pictures: list[Path], cnn: Cnn, tmp_path: Path) -> None:
    """A page is shared: whoever opens it learns the names of the files, not where they were."""
    cnn("explain", folder_run.best, tmp_path / "a.jpg", tmp_path / "other" / "a.jpg", "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert str(tmp_path) not in page
    assert str(folder_run.path) not in page
    assert '"best.pt"' in page


def test_json_has_one_object(folder_run: Run, pictures: list[Path], cnn: Cnn, tmp_path: Path) -> None:
    done = cnn(
        "explain", folder_run.best, "a.jpg", "b c.jpg", "--label", "top", "--label", "left", "--units", 2, "--json"
    )
    result = json.loads(done.stdout)
    assert result["page"] == "explain.html"
    assert result["bytes"] == (tmp_path / "explain.html").stat().st_size
    assert [(image["image"], image["label"]) for image in result["images"]] == [("a.jpg", "top"), ("b c.jpg", "left")]
    assert all(image["prediction"] in ("left", "right", "top") for image in result["images"])
    explanation = read_page(tmp_path / "explain.html")
    assert result["left_out"] == explanation.left_out
    assert explanation.left_out["conv1"] == 8
    for image, view in zip(result["images"], explanation.views, strict=True):
        assert image["probability"] == pytest.approx(results(explanation, view)[-1].max().item())


def test_units_change_what_is_left_out(folder_run: Run, pictures: list[Path], cnn: Cnn, tmp_path: Path) -> None:
    for units, shown, said in (("3", 3, True), ("all", None, False), ("10", None, False), ("9999", None, False)):
        done = cnn("explain", folder_run.best, "a.jpg", "--units", units)
        part = read_page(tmp_path / "explain.html").parts[1]
        assert (len(part.units) if part.units else None) == shown
        assert ("--units shows more" in done.stdout) is said


def test_images_of_the_test_split_of_arrays(tiny_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    done = cnn("explain", tiny_run.best, "--test", 7, "--test", 0)
    assert done.returncode == 0
    loaded = load(tiny_run.best)
    with np.load(loaded.config["data"]["path"]) as arrays:
        pixels, labels = arrays["test_images"][[7, 0]], arrays["test_labels"][[7, 0]]
    explanation = read_page(tmp_path / "explain.html")
    network = load_network(tiny_run.best)
    assert [view.name for view in explanation.views] == ["test 7", "test 0"]
    for view, image, label in zip(explanation.views, pixels, labels, strict=True):
        assert view.label == label
        wanted = network.preprocess.normalise(torch.from_numpy(image)[None, None])[0]
        assert torch.equal(results(explanation, view)[0], wanted)
    assert [line.split(":")[0] for line in done.stdout.splitlines()[:2]] == ["test 7", "test 0"]
    assert "; it is 3" in done.stdout.splitlines()[0]


def test_they_are_predicted_as_in_evaluation(folder_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    """The run's pictures were held out by name; cnn eval lists them in their order."""
    cnn("eval", folder_run.best, "--predictions", "rows.csv")
    rows = (tmp_path / "rows.csv").read_text().splitlines()[1:]
    arguments = [word for row in range(len(rows)) for word in ("--test", str(row))]
    result = json.loads(cnn("explain", folder_run.best, *arguments, "--json").stdout)
    assert len(result["images"]) == len(rows) > 2
    for image, row in zip(result["images"], rows, strict=True):
        _, label, prediction, probability = row.split(",")[:4]
        assert (image["label"], image["prediction"]) == (label, prediction)
        assert image["probability"] == pytest.approx(float(probability), abs=1e-6)


def test_pictures_and_rows_together(folder_run: Run, pictures: list[Path], cnn: Cnn, tmp_path: Path) -> None:
    cnn("explain", folder_run.best, "a.jpg", "--test", 0, "--label", "left")
    views = read_page(tmp_path / "explain.html").views
    assert [view.name for view in views] == ["a.jpg", "test 0"]
    assert views[0].label == 0


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        ("BEST", 2, "no image to explain: name a picture, or say --test 0"),
        ("BEST nowhere.jpg", 3, "nowhere.jpg: No such file or directory"),
        ("BEST a.jpg text.jpg", 3, "text.jpg: not a picture that Pillow knows"),
        ("BEST other", 3, "other: "),
        ("BEST a.jpg --label tap", 2, "--label tap: no class of this checkpoint; did you mean top?"),
        ("BEST a.jpg --label top --label left", 2, "--label is there 2 times for 1 picture"),
        ("BEST --test 0 --label top", 2, "images of --test have their own"),
        ("BEST a.jpg --units 0", 2, "--units 0: say a number from 1 on, or all"),
        ("BEST a.jpg --units some", 2, "--units some: say a number from 1 on, or all"),
        ("BEST a.jpg --units=-1", 2, "--units -1: say a number from 1 on, or all"),
        ("BEST --test 10000", 3, "there is no image 10000 in the test split: it has "),
        ("BEST --test=-1", 2, "--test"),
        ("BEST a.jpg -o nowhere/page.html", 2, "--output nowhere/page.html: there is no folder nowhere"),
        ("BEST a.jpg -o other", 2, "--output other: is a folder"),
        ("BEST a.jpg -o page.png", 2, "--output page.png: the page is HTML"),
        ("BEST a.jpg -o a.jpg", 2, "--output a.jpg: is what it is made of"),
        ("copy.pt a.jpg -o copy.pt", 2, "--output copy.pt: is what it is made of"),
        ("nowhere.pt a.jpg", 4, "no checkpoint at nowhere.pt"),
        ("broken.pt a.jpg", 4, "broken.pt: damaged"),
        ("a.jpg BEST", 4, "a.jpg: not a checkpoint"),
        ("undefined.pt a.jpg", 4, "the answer for a.jpg is not a number, and features.0 (Conv2d) is where that begins"),
    ],
)
def test_mistakes(
    arguments: str, exit_code: int, message: str, pictures: list[Path], folder_run: Run, cnn: Cnn, tmp_path: Path
) -> None:
    shutil.copy(folder_run.best, tmp_path / "copy.pt")
    content = bytearray(folder_run.best.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "broken.pt").write_bytes(content)
    undefined = load(folder_run.best)
    nn.init.constant_(undefined.weights["features.0.bias"], float("nan"))
    checkpoints.save(undefined, tmp_path / "undefined.pt")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    done = cnn("explain", *arguments.replace("BEST", str(folder_run.best)).split())
    assert done.returncode == exit_code
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_an_imported_checkpoint_names_no_test_images(folder_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    imported = load(folder_run.best)
    checkpoints.save(checkpoints.Checkpoint(**{**vars(imported), "config": {}, "state": {}}), tmp_path / "imported.pt")
    done = cnn("explain", "imported.pt", "--test", 0)
    assert done.returncode == 3
    assert "name a picture in place of --test" in done.stderr


def test_a_picture_of_the_test_split_that_is_broken_by_now(folder_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    moved = load(folder_run.best)
    shutil.copytree(moved.config["data"]["root"], tmp_path / "moved")
    moved.config["data"]["root"] = str(tmp_path / "moved")
    checkpoints.save(moved, tmp_path / "moved.pt")
    first = sorted(moved.held_out["test"])[0]
    (tmp_path / "moved" / first).write_text("no picture")
    done = cnn("explain", "moved.pt", "--test", 0)
    assert done.returncode == 3
    assert f"{first}: not a picture that Pillow knows" in " ".join(done.stderr.split())
    assert cnn("explain", "moved.pt", "--test", 1).returncode == 0


def test_a_run_without_a_test_split(folder_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    untested = load(folder_run.best)
    untested.config["data"]["test"] = 0.0
    untested.held_out.pop("test")
    checkpoints.save(untested, tmp_path / "untested.pt")
    done = cnn("explain", "untested.pt", "--test", 0)
    assert done.returncode == 3
    assert "there is no test split: the run was trained without one" in done.stderr


def test_classes_in_another_order_are_matched_by_name(tiny_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    swapped = load(tiny_run.best)
    swapped.classes[:] = ["3", "2", "1", "0"]
    checkpoints.save(swapped, tmp_path / "swapped.pt")
    done = cnn("explain", "swapped.pt", "--test", 7)
    assert "matched by name" in done.stderr
    assert done.stdout.splitlines()[0].endswith("; it is 3")
    assert read_page(tmp_path / "explain.html").views[0].label == 0


def test_names_that_would_move_a_terminal(folder_run: Run, pictures: list[Path], cnn: Cnn, tmp_path: Path) -> None:
    name = "</script><b>\x1b[2J\n.jpg".replace("/", "∕")
    shutil.copy(pictures[0], tmp_path / name)
    done = cnn("explain", folder_run.best, name)
    assert done.stdout.startswith(r"<∕script><b>\x1b[2J\n.jpg: ")
    assert read_page(tmp_path / "explain.html").views[0].name == name
    assert "<b>" not in (tmp_path / "explain.html").read_text()


def test_a_heavy_page_is_told_of(
    folder_run: Run,
    pictures: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:

    monkeypatch.setattr(explain, "HEAVY", 1000)
    output = tmp_path / "page.html"
    explain.explain(folder_run.best, [pictures[0]], output)
    captured = capsys.readouterr()
    assert "MB, which takes a browser long to open; --units shows fewer of each layer" in captured.err
    assert captured.out.count("\n") == 2


@pytest.fixture
def explainer_checkpoint(tmp_path: Path) -> Path:
    """Write CNN Explainer's own network as a checkpoint."""
    from tests.models.test_tinyvgg import PREPROCESS, explainer

    classes = json.loads((EXPLAINER / "expected.json").read_text())["labels"]
    checkpoint = checkpoints.Checkpoint(
        "tinyvgg", {"num_classes": 10}, explainer().state_dict(), classes, PREPROCESS.to_dict(), {}, {}
    )
    checkpoints.save(checkpoint, tmp_path / "explainer.pt")
    return tmp_path / "explainer.pt"


@needs_explainer
def test_cnn_explainers_own_numbers(explainer_checkpoint: Path, cnn: Cnn, tmp_path: Path) -> None:
    picture = EXPLAINER / "images" / "espresso_1.jpeg"
    done = cnn("explain", explainer_checkpoint, picture, "--label", "espresso")
    assert done.stdout.splitlines()[0] == f"{picture}: espresso, 87.98%; it is espresso"
    explanation = read_page(tmp_path / "explain.html")
    values = results(explanation, explanation.views[0])
    with np.load(EXPLAINER / "espresso_activations.npz") as activations:
        assert len(activations.files) == len(values)
        for name, value in zip(activations.files, values, strict=True):
            theirs = torch.from_numpy(activations[name]).squeeze()
            torch.testing.assert_close(value.squeeze(), theirs, rtol=0, atol=1e-4, msg=name)
