"""``cnn data``."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from cnncli.commands.data import _draw
from cnncli.config.validation import load_config
from cnncli.experiment import Experiment
from cnncli.pages import contact_sheet
from cnncli.pages.contact_sheet import draw_contact_sheet
from tests.conftest import Cnn


def test_stats_can_be_put_into_a_config(folder_config: Path, cnn: Cnn) -> None:
    done = cnn("data", "stats", folder_config)
    assert done.returncode == 0, done.stderr
    stated = yaml.safe_load(done.stdout)["data"]
    assert json.loads(cnn("data", "stats", folder_config, "--json").stdout) == {
        **stated,
        "num_images": 12,
    }  # of 24, six to test and six to validate on
    data = load_config(folder_config, [f"data.{key}={value}" for key, value in stated.items()]).data
    assert (data.mean, data.std) == (stated["mean"], stated["std"])


def test_check_of_good_images_says_so_and_draws_them(folder_config: Path, cnn: Cnn, tmp_path: Path) -> None:
    done = cnn("data", "check", folder_config, "--set", "augment.mixup=0.4", "-o", "new.png")
    assert done.returncode == 0, done.stderr
    assert "nothing is wrong" in done.stdout
    assert done.stdout.splitlines()[0].split() == ["class", "train", "val", "test"]
    with Image.open(tmp_path / "new.png") as sheet:
        assert min(sheet.size) > 200
    assert not (tmp_path / "runs").exists()


def test_the_sheet_shows_the_first_batch_with_its_classes(
    folder_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is trained on, mirrored and mixed, but for the scale."""
    drawn: list[Any] = []
    monkeypatch.setattr(contact_sheet, "draw_contact_sheet", lambda *arguments: drawn.append(arguments))
    sets = ["augment={flip: true, mixup: 0.4}", "data.mean=[0.3, 0.4, 0.5]", "data.std=[0.2, 0.3, 0.4]"]
    _draw(Experiment.prepare(load_config(folder_config, sets)), tmp_path / "x.png")
    ((images, captions, *_),) = drawn
    experiment = Experiment.prepare(load_config(folder_config, [*sets, "train.batch_size=48"]))
    batch = next(experiment.train_loader().epoch(0))
    assert images.shape == (12, 3, 32, 32)
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.3, 0.4, 0.5), (0.2, 0.3, 0.4)))
    torch.testing.assert_close(images, batch.images * std + mean)
    names = ["left", "right", "top"]
    for caption, targets in zip(captions, batch.targets, strict=True):
        assert names[int(targets.argmax())] in caption
        assert caption.count(" + ") == (targets > 0).sum() - 1


def test_two_channels_are_drawn_as_one(tmp_path: Path) -> None:
    draw_contact_sheet(torch.rand(3, 2, 1, 1), ["a", "b", "caf\udce9"], "title", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_stats_leave_broken_files_out_where_training_does(folder_config: Path, cnn: Cnn, tmp_path: Path) -> None:
    for number in range(8):  # some of which are trained on
        (tmp_path / "pictures" / "left" / f"{number}.jpg").write_bytes(b"text")
    done = cnn("data", "stats", folder_config)
    assert done.returncode == 3
    assert done.stderr.startswith("error: 4 of 12 pictures cannot be read:\n")
    done = cnn("data", "stats", folder_config, "--set", "data.on_error=skip", "--json")
    assert (done.returncode, json.loads(done.stdout)["num_images"]) == (0, 8)


@pytest.mark.parametrize("output", ["nowhere/sheet.png", "folder.yaml/sheet.png"])
def test_a_sheet_that_cannot_be_written_is_an_error(output: str, folder_config: Path, cnn: Cnn) -> None:
    done = cnn("data", "check", folder_config, "-o", output)
    assert done.returncode in (2, 5)
    assert output.rpartition("/")[0] in done.stderr
    assert "Traceback" not in done.stderr
