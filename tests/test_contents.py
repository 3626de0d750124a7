"""What the fields of a checkpoint have to be; most of it is seen through files, in test_checkpoint.py."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from cnncli.config.validation import load_config
from cnncli.contents import check_contents
from cnncli.errors import CheckpointError
from cnncli.experiment import Experiment
from cnncli.training.state import TrainState


def test_a_history_is_numbers() -> None:
    """Those of a run that diverged may be infinite; words would reach metrics.csv, of which tables make formulas."""
    row = {"epoch": 1, "lr": 0.1, "train": {"loss": float("nan"), "accuracy": 0.1}, "val": None}
    check_contents({"history": [row]})
    for wrong in ({"epoch": "=cmd|' /C calc'!A0"}, {"=1+1\n": 1}, {"train": {"loss": "1"}}, ["epoch"], 1):
        with pytest.raises(CheckpointError, match="its history must be a list of epochs, in numbers"):
            check_contents({"history": [row, wrong]})


@pytest.fixture(params=["sgd", "adamw", "rmsprop"])
def state(request: pytest.FixtureRequest, tiny_config: Path) -> TrainState:
    """Return what moves in a run that made a step."""
    experiment = Experiment.prepare(load_config(tiny_config, [f"optimizer={{name: {request.param}}}"]))
    loader = experiment.train_loader()
    state = experiment.build_state(loader)
    batch = next(iter(loader.epoch(0)))
    state.backward(state.criterion(state.model(batch.images), batch.targets), 1.0)
    state.step()
    return state


def test_what_an_optimizer_keeps_has_the_shape_of_its_parameter(state: TrainState) -> None:
    """Too small, it made the fused kernels read and write beyond its end."""
    saved = copy.deepcopy(state.state_dict())
    state.load_state_dict(saved)
    for small in (torch.zeros(3), torch.zeros(())):
        hostile = copy.deepcopy(saved)
        name = next(name for name in hostile["optimizer"]["state"][0] if name != "step")
        hostile["optimizer"]["state"][0][name] = small
        with pytest.raises(CheckpointError, match=rf"{name} of parameter 0 is .*, not \[6, 1, 5, 5\]"):
            state.load_state_dict(hostile)


def test_the_options_of_an_optimizer_are_those_of_the_config(state: TrainState) -> None:
    saved = copy.deepcopy(state.state_dict())
    options = [{**group, "lr": 1e9, "weight_decay": "much"} for group in saved["optimizer"]["param_groups"]]
    saved["optimizer"]["param_groups"] = options
    own = {"params": None, "lr": None}  # the latter is set by the schedule at each step
    before = [{**group, **own} for group in state.optimizer.param_groups]
    state.load_state_dict(saved)
    assert [{**group, **own} for group in state.optimizer.param_groups] == before


@pytest.mark.parametrize(
    "changes", [{"optimizer": {}}, {"model": {}}, {"ranks": [{"random": {"cpu": torch.zeros(3)}}]}, {"progress": 1}]
)
def test_a_state_that_does_not_fit_is_the_files_fault(changes: dict[str, Any], state: TrainState) -> None:
    with pytest.raises(CheckpointError, match="the checkpoint's state does not fit this run: "):
        state.load_state_dict({**copy.deepcopy(state.state_dict()), **changes})
