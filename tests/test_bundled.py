"""The bundled configs: each takes a step, and reaches what it promises."""

import math
from pathlib import Path

import pytest

from cnncli import launch
from cnncli.config.loading import bundled_names
from cnncli.config.validation import load_config
from cnncli.display import Display
from cnncli.experiment import Experiment
from cnncli.run import Run
from cnncli.session import Session
from tests.conftest import PictureFolder


@pytest.mark.parametrize("name", bundled_names())
def test_a_bundled_config_takes_a_step(name: str, picture_folder: PictureFolder) -> None:
    config = load_config(name, ["data.limit=2"], {"batch_size": 4, "device": "cpu"})
    if config.data.name == "image_folder":
        sets = [f"data.root={picture_folder('train', 'val')}"]
        config = load_config(name, sets, {"batch_size": 4, "device": "cpu"})
    experiment = Experiment.prepare(config)
    result = launch.try_out(experiment, Display())
    assert result["train"]["batch"][0] == 4
    assert all(math.isfinite(result[split]["loss"]) for split in ("train", "val", "test") if result[split])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"),
    [("lenet5", 0.992), ("lenet5_fast", 0.99), ("lenet5_1998", 0.985), ("basic_cnn", 0.984), ("tinyvgg", 0.95)],
)
def test_a_bundled_config_reaches_what_it_promises(name: str, least: float, tmp_path: Path) -> None:
    """The figures that its users are promised; the comment in its file says what was measured."""
    experiment = Experiment.prepare(load_config(name))
    result = Session(experiment, Run.create(tmp_path, name), Display()).train()
    assert result["test"]["accuracy"] >= least
