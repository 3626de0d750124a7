"""A network of which some is frozen, and some learns slower."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from cnncli import checkpoint as checkpoints
from cnncli import finetuning
from cnncli.config.validation import load_config
from cnncli.errors import ConfigError
from cnncli.experiment import Experiment
from cnncli.registry import MODELS
from cnncli.run import Run
from cnncli.session import Session
from tests.networks import TestNet
from tests.test_session import Silent

HEADS = {
    **{"lenet5": "classifier.5", "lenet5_1998": "classifier.5", "basic_cnn": "classifier.1"},
    **{"tinyvgg": "classifier.1", "alexnet": "classifier.7", "testnet": "classifier.2"},
}


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


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return checkpoints.load(run.last).state["model"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", HEADS)
def test_the_head_is_what_has_a_row_for_each_class(name: str) -> None:
    config = load_config("lenet5", [f"model={{name: {name}}}"])
    for num_classes in (1, 4, 10):
        config.model.num_classes = num_classes  # type: ignore[attr-defined]
        parts = ("weight",) if name == "lenet5_1998" else ("weight", "bias")
        assert finetuning.head_of(config.model) == {f"{HEADS[name]}.{part}" for part in parts}


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


def test_two_rates_equal_a_hand_written_loop_bit_for_bit(tiny_config: Path, tmp_path: Path) -> None:
    """The schedule's factors are those of both; the one that is noted is the head's."""
    sets = ("model={name: lenet5}", "optimizer={lr: 0.05, backbone_lr: 0.005}", "schedule={name: cosine}")
    experiment, _ = prepared(tiny_config, *sets)
    run, _ = trained(tiny_config, tmp_path, *sets)
    model = experiment.build_model()
    last = [*model.classifier[5].parameters()]
    rest = [*model.features.parameters(), *model.classifier[:5].parameters()]
    groups: list[dict[str, Any]] = [{"params": last, "lr": 0.05}, {"params": rest, "lr": 0.005}]
    optimizer = torch.optim.SGD(groups, momentum=0.9, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / 6)) / 2)
    rates = []
    for epoch in range(2):
        for batch in experiment.train_loader().epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(model(batch.images), batch.labels).backward()
            optimizer.step()
            rates.append(scheduler.get_last_lr()[0])
            scheduler.step()
    after = weights_of(run)
    assert all(torch.equal(weights, after[name]) for name, weights in model.state_dict().items())
    assert [json.loads(row)["lr"] for row in run.steps.read_text().splitlines()] == rates


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["model.freeze=classifier.5"], "the head of lenet5 has nothing to train; set optimizer.lr alone"),
        (["model.freeze=[features, 'classifier.[13]']"], "all but the head has nothing to train"),
        (["model={name: lenet5_1998}", "loss={name: rbf_map}"], "the head of lenet5_1998 has nothing to train"),
    ],
)
def test_a_rate_for_nothing_is_an_error(sets: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=f"optimizer.backbone_lr: {message}"):
        prepared("lenet5", *sets, "optimizer.backbone_lr=0.1")
