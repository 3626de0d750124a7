"""``cnn data``."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from cnncli.config.validation import load_config
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


@pytest.mark.parametrize("output", ["nowhere/sheet.png", "folder.yaml/sheet.png"])
def test_a_sheet_that_cannot_be_written_is_an_error(output: str, folder_config: Path, cnn: Cnn) -> None:
    done = cnn("data", "check", folder_config, "-o", output)
    assert done.returncode in (2, 5)
    assert output.rpartition("/")[0] in done.stderr
    assert "Traceback" not in done.stderr
