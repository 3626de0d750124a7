"""``cnn import``, and what the other commands do with what it writes."""

import json
from pathlib import Path

import pytest
import torch

from cnncli import checkpoint as checkpoints
from cnncli.checkpoint import previous
from cnncli.models.tinyvgg import TinyVGG
from cnncli.run import Run
from tests.cli.test_errors import failed
from tests.conftest import Cnn, write_pictures
from tests.models.explainer import EXPLAINER, check, expected, needs_explainer

CLASSES = ["top", "left", "right"]  # not in the order of the folders


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Write what another program would: weights of tinyvgg for 32×32 pixels, and a name a line."""
    torch.manual_seed(0)
    torch.save(TinyVGG(num_classes=3, image_size=32, hidden=4).state_dict(), tmp_path / "vgg.pth")
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    return tmp_path / "vgg.pth"


IMPORT = ("--model", "tinyvgg", "--classes", "classes.txt", "--set", "model.hidden=4", "--size", "32", "-o", "vgg.pt")


@needs_explainer
def test_cnn_explainers_weights_answer_as_they_do_there(cnn: Cnn, tmp_path: Path) -> None:
    labels = json.loads((EXPLAINER / "expected.json").read_text())["labels"]
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    weights = EXPLAINER / "tinyvgg.safetensors"
    done = cnn("import", weights, "--model", "tinyvgg", "--classes", "labels.json", "--match", "order", "-o", "vgg.pt")
    assert done.returncode == 0, done.stderr
    assert "features.2.weight    conv_1_2.weight" in done.stdout
    assert "tinyvgg, 19,920 parameters, 10 classes" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    network = checkpoints.load_network(tmp_path / "vgg.pt")
    assert network.classes == labels
    with torch.no_grad():
        for name in expected():
            check(name, network.model(network.preprocess(EXPLAINER / "images" / name))[0])


def test_what_is_imported_is_scored_on_images_that_are_named(cnn: Cnn, weights: Path, tmp_path: Path) -> None:
    done = cnn("import", weights, *IMPORT, "--mean", "0.5", "--std", "0.2,0.2,0.25", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["checkpoint"], said["model"], said["classes"]) == ("vgg.pt", "tinyvgg", CLASSES)
    assert said["options"] == {"num_classes": 3, "in_channels": 3, "image_size": 32, "hidden": 4}
    assert (said["preprocess"]["mean"], said["preprocess"]["std"]) == ([0.5] * 3, [0.2, 0.2, 0.25])
    pictures = write_pictures(tmp_path / "pictures", per_class=2)
    scored = cnn("eval", "vgg.pt", "--data", "pictures", "--json", "--device", "cpu")
    assert scored.returncode == 0, scored.stderr
    network, right = checkpoints.load_network(tmp_path / "vgg.pt"), 0
    for path in pictures.glob("*/*.jpg"):
        with torch.no_grad():
            answer = CLASSES[int(network.model(network.preprocess(path)).argmax())]
        right += answer == path.parent.name
    assert json.loads(scored.stdout)["accuracy"] == right / 6
    without = failed(cnn("eval", "vgg.pt"), 3)
    assert without == "error: the checkpoint was imported, and names no images: say which, with --data PATH\n"


def test_no_training_goes_on_with_it(cnn: Cnn, weights: Path, tiny_run: Run, tmp_path: Path) -> None:
    assert cnn("import", weights, *IMPORT).returncode == 0
    assert "vgg.pt is no run directory" in failed(cnn("train", "--resume", "vgg.pt"), 4)
    run = Run.at(tmp_path / "run")
    run.config.write_text(tiny_run.config.read_text())
    (tmp_path / "vgg.pt").rename(run.last)
    for more in ((), ("--dry-run",), ("--allow-changes",)):
        said = failed(cnn("train", "--resume", "run", *more), 4)
        assert said == "error: run/checkpoints/last.pt was imported: it holds weights, and no training to go on with\n"


def test_what_was_there_before_is_kept(cnn: Cnn, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "vgg.pt").write_text("mine")
    done = cnn("import", weights, *IMPORT)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "what vgg.pt was before is kept as vgg.prev.pt"
    assert previous(tmp_path / "vgg.pt").read_text() == "mine"


def test_mistakes(cnn: Cnn, weights: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for arguments, exit_code, message in (
        (("vgg.pth", *IMPORT, "--mean", "half"), 2, "--mean half: expected one number, or one for each channel"),
        (("vgg.pth", *IMPORT, "-o", "vgg.pth"), 2, "--output vgg.pth: is what it is made of, and would be lost"),
        (("vgg.pth", *IMPORT, "-o", "."), 2, "--output .: is a folder"),
        (("vgg.pth", *IMPORT, "-o", "no/vgg.pt"), 2, "--output no/vgg.pt: there is no folder no"),
        (("vgg.pth", *IMPORT, "--set", "hiden=4"), 2, "model.hiden: unknown option of tinyvgg; did you mean hidden?"),
        (("vgg.pth", *IMPORT, "--classes", "vgg.pth"), 3, "vgg.pth: not UTF-8 text"),
        (("classes.txt", *IMPORT), 4, "classes.txt: neither a safetensors file nor one that torch.save writes"),
        (("vgg.pth", *IMPORT, "--set", "hidden=5"), 4, "of another shape: features.0.weight is [4, 3, 3, 3] in the"),
    ):
        assert message in failed(cnn("import", *arguments), exit_code)
    assert sorted(tmp_path.iterdir()) == before
