"""A network of which some stays as it is."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cnncli import checkpoint as checkpoints
from cnncli.config.validation import load_config
from cnncli.experiment import Experiment
from cnncli.registry import MODELS
from cnncli.run import Run
from cnncli.session import Session
from tests.networks import TestNet
from tests.test_session import Silent


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._found, "testnet", TestNet)


def prepared(config: Path | str, *sets: str) -> tuple[Experiment, list[str]]:
    """Return the experiment and what was noted of it."""
    display = Silent()
    return Experiment.prepare(load_config(config, sets), display.note), display.notes


def trained(config: Path | str, folder: Path, *sets: str) -> tuple[Run, dict[str, Any]]:
    experiment, _ = prepared(config, *sets)
    run = Run.create(folder, "run")
    return run, Session(experiment, run, Silent()).train()


FROZEN = ("model={name: testnet, freeze: features}", "optimizer={momentum: 0.9, weight_decay: 0.01}", "train.ema=0.9")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_is_frozen_stays_to_the_bit(optimizer: str, tiny_config: Path, tmp_path: Path) -> None:
    """Weights, and the statistics of batch normalisation, in the network and in the average; the head learns."""
    sets = (*FROZEN, *(("optimizer={name: adamw, weight_decay: 0.1}",) if optimizer == "adamw" else ()))
    before = prepared(tiny_config, *sets)[0].build_model().state_dict()
    run, _ = trained(tiny_config, tmp_path, *sets)
    after = checkpoints.load(run.last)
    for name, weights in before.items():
        for kept in (after.state["model"][name], after.weights[name]):
            assert torch.equal(kept, weights) == name.startswith("features"), name
    assert after.weights["features.1.num_batches_tracked"] == 0
    assert len(after.state["optimizer"]["param_groups"][0]["params"]) == 2
