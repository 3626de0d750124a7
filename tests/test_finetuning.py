"""A network that begins with the weights of a checkpoint, some of them frozen, some learning slower."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cnncli import checkpoint as checkpoints
from cnncli import finetuning, launch
from cnncli.checkpoint import Checkpoint
from cnncli.config.validation import load_config
from cnncli.errors import CheckpointError, ConfigError
from cnncli.experiment import Experiment
from cnncli.registry import MODELS
from cnncli.resuming import changes_of
from cnncli.run import Run
from cnncli.session import Session
from tests.networks import TestNet
from tests.test_session import Silent, assert_same_state, stopped

HEADS = {
    **{"lenet5": "classifier.5", "lenet5_1998": "classifier.5", "basic_cnn": "classifier.1"},
    **{"tinyvgg": "classifier.1", "alexnet": "classifier.7", "testnet": "classifier.2"},
}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._found, "testnet", TestNet)


def prepared(config: Path | str, *sets: str, init_from: Path | None = None) -> tuple[Experiment, list[str]]:
    """Return the experiment and what was noted of it."""
    display = Silent()
    flags = {"init_from": str(init_from) if init_from else None}
    return Experiment.prepare(load_config(config, sets, flags), display.note), display.notes


def trained(config: Path | str, folder: Path, *sets: str, init_from: Path | None = None) -> tuple[Run, dict[str, Any]]:
    experiment, _ = prepared(config, *sets, init_from=init_from)
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


def test_digits_are_told_apart_sooner_by_who_knows_other_digits(tmp_path: Path) -> None:
    beats_a_new_network(tmp_path, digits=200, few=30, num_seeds=1)


@pytest.mark.slow
def test_digits_are_told_apart_sooner_by_who_knows_all_of_mnist(tmp_path: Path) -> None:
    beats_a_new_network(tmp_path, digits=7000, few=100, num_seeds=3)


def beats_a_new_network(folder: Path, digits: int, few: int, num_seeds: int) -> None:
    """Train on ten digits, then on five of them with a new head: one epoch of ``few`` each, against none before."""
    first, _ = trained("lenet5", folder, f"data.limit={digits}", "train.epochs=2", "train.batch_size=16")
    for seed in range(num_seeds):
        sets = ["data.classes=['1', '3', '5', '7', '9']", f"data.limit={few}", "train.epochs=1", f"train.seed={seed}"]
        sets += ["train.batch_size=20", "data.validation=0", "schedule={name: constant}", "optimizer.lr=0.02"]
        _, tuned = trained("lenet5", folder, *sets, init_from=first.best)
        _, new = trained("lenet5", folder, *sets)
        assert tuned["test"]["accuracy"] > new["test"]["accuracy"] + 0.1
        assert tuned["test"]["loss"] < new["test"]["loss"]


def test_what_fits_is_taken_and_the_rest_is_said(tiny_run: Run, tiny_config: Path) -> None:
    """Of the weights drawn from the seed, the head's alone are left."""
    there = checkpoints.load(tiny_run.best)
    experiment, notes = prepared(tiny_config, "data.classes=['2', '0', '1']", init_from=tiny_run.best)
    anew, _ = prepared(tiny_config, "data.classes=['2', '0', '1']")
    drawn = anew.build_model().state_dict()
    for name, weights in experiment.build_model().state_dict().items():
        assert torch.equal(weights, drawn[name] if name.startswith("classifier.5") else there.weights[name]), name
    assert notes[0] == (
        f"taken from {tiny_run.best}: 8 of 10 tensors;"
        " anew: classifier.5.weight (3 classes here, 4 there), classifier.5.bias (3 classes here, 4 there)"
    )


def test_the_head_goes_by_the_names_of_classes(tiny_run: Run, tiny_config: Path, tiny_npz: Path) -> None:
    """In another order its logits are those of the same classes; among as many of other names it is drawn anew."""
    there = checkpoints.load(tiny_run.best)
    images = torch.randn(5, 1, 12, 12)
    before = there.build()(images)
    same, notes = prepared(tiny_config, init_from=tiny_run.best)
    assert len(notes) == 2
    torch.testing.assert_close(same.build_model().eval()(images), before)
    turned, notes = prepared(tiny_config, "data.classes=['2', '0', '3', '1']", init_from=tiny_run.best)
    torch.testing.assert_close(turned.build_model().eval()(images), before[:, [2, 0, 3, 1]])
    assert "its classes have another order than those here; the rows of its head are matched to them by name" in notes
    with np.load(tiny_npz) as arrays:
        np.savez(tiny_npz, **arrays, classes=np.array(["0", "1", "2", "four"]))
    experiment, notes = prepared(tiny_config, init_from=tiny_run.best)
    assert experiment.initial_weights.keys() == there.weights.keys() - {"classifier.5.weight", "classifier.5.bias"}
    assert notes[0].endswith("classifier.5.weight (class four is new), classifier.5.bias (class four is new)")


def test_images_are_prepared_as_the_weights_know_them_but_for_what_is_said(folder_run: Run, tmp_path: Path) -> None:
    """Pictures for a network of 32×32, and digits, which are grey and keep their 28×28 unless that is asked for."""
    there = checkpoints.load(folder_run.best)
    own = {"mean": [0.25, 0.5, 0.75], "std": [0.5, 0.5, 0.25], "background": [1, 2, 3]}
    there.preprocess.update(own, resize="pad", canvas=36)
    checkpoints.save(there, tmp_path / "there.pt")
    folder = f"data={{name: image_folder, root: {folder_run.path.parents[1] / 'pictures'}}}"
    experiment, notes = prepared("tinyvgg", folder, init_from=tmp_path / "there.pt")
    assert experiment.preprocess.to_dict() == there.preprocess
    assert experiment.config.data.mean == own["mean"]
    assert notes[-1].endswith("trained on: 3×32×32, mean [0.25, 0.5, 0.75], std [0.5, 0.5, 0.25]")
    experiment, notes = prepared("tinyvgg", "data={name: mnist}", init_from=tmp_path / "there.pt")
    assert experiment.preprocess.to_dict() == {**there.preprocess, "size": 28, "canvas": 28}
    assert notes[-1].endswith("trained on: size is 28 here, 32 there; canvas is 28 here, 36 there")
    sets = ("data={name: mnist, channels: 1, resize: crop, mean: [0.1]}", "model.hidden=10")
    experiment, notes = prepared("tinyvgg", *sets, init_from=tmp_path / "there.pt")
    assert experiment.preprocess.std == pytest.approx([0.3081])  # MNIST's own: a value a channel is of no use
    assert "anew: features.0.weight ([10, 1, 3, 3] here, [10, 3, 3, 3] there), classifier.1" in notes[0]
    assert notes[-1].startswith("warning: images are prepared otherwise")
    assert "channels is 1 here, 3 there; mean is [0.1] here, [0.25, 0.5, 0.75] there" in notes[-1]


def test_images_that_are_held_out_and_were_trained_on_are_warned_of(tiny_run: Run, tiny_config: Path) -> None:
    """By another seed others are held out, and so they are of fewer classes."""
    for sets, named in (
        ((), None),
        (("train.seed=3",), "train.seed"),
        (("data.classes=['0', '1', '2']",), "data.classes"),
        (("train.seed=3", "data.validation=0", "train.report=last"), None),
    ):
        images = f"data.path={checkpoints.load(tiny_run.best).config['data']['path']}"
        _, notes = prepared(tiny_config, images, *sets, init_from=tiny_run.best)
        told = [note for note in notes if note.startswith("warning: images that are held out here")]
        assert len(told) == (named is not None)
        assert not told or f"as these differ: {named};" in told[0]


def test_other_options_are_said(tiny_run: Run, tiny_config: Path) -> None:
    _, notes = prepared(tiny_config, "model.activation=relu", init_from=tiny_run.best)
    assert notes[1] == "warning: it was trained with other options: activation is relu here, tanh there"


def test_a_checkpoint_of_which_nothing_fits_is_an_error(tmp_path: Path, folder_run: Run, folder_config: Path) -> None:
    there = checkpoints.load(folder_run.best)
    with pytest.raises(CheckpointError, match=r"none of its weights fits tinyvgg: hidden is 7 here, 10 there$"):
        prepared(folder_config, "model.hidden=7", init_from=folder_run.best)
    checkpoints.save(replace(there, weights={"fc.weight": torch.zeros(2)}), tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"tinyvgg: features.0.weight \(\[10, 3, 3, 3\] here, absent there\)"):
        prepared(folder_config, init_from=tmp_path / "other.pt")


@pytest.mark.parametrize("weight", [torch.zeros(4, 84, dtype=torch.long), torch.zeros(0), torch.tensor(1.0)])
def test_weights_of_a_stranger_are_taken_only_if_they_fit(
    weight: torch.Tensor, tiny_run: Run, tiny_config: Path, tmp_path: Path
) -> None:
    there = checkpoints.load(tiny_run.best)
    there.weights["classifier.5.weight"] = weight
    there.classes[:] = ["3", "3", "2", "1"]
    checkpoints.save(there, tmp_path / "strange.pt")
    experiment, notes = prepared(tiny_config, init_from=tmp_path / "strange.pt")
    assert "classifier.5.weight" not in experiment.initial_weights
    assert "(class 0 is new)" in notes[0]
    there.classes[:] = ["3", "0", "2", "1"]
    checkpoints.save(there, tmp_path / "strange.pt")
    experiment, _ = prepared(tiny_config, init_from=tmp_path / "strange.pt")
    assert "classifier.5.weight" not in experiment.initial_weights


def test_foreign_weights_do(tiny_run: Run, tiny_config: Path, tmp_path: Path) -> None:
    """A checkpoint that knows of no training; its numbers are halves."""
    there = checkpoints.load(tiny_run.best)
    halved = {name: weights.half() for name, weights in there.weights.items()}
    imported = Checkpoint(there.model, there.options, halved, there.classes, there.preprocess, {}, {})
    checkpoints.save(imported, tmp_path / "imported.pt")
    experiment, notes = prepared(tiny_config, init_from=tmp_path / "imported.pt")
    for name, weights in experiment.build_model().state_dict().items():
        assert torch.equal(weights, halved[name].float())
    assert "10 of 10 tensors" in notes[0]


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


def test_stopped_and_resumed_without_the_checkpoint_it_began_with(tiny_config: Path, tmp_path: Path) -> None:
    """To the bits of an uninterrupted run: frozen layers, two rates, an average and all."""
    first, _ = trained(tiny_config, tmp_path, "model={name: testnet}")
    path = tmp_path / "first.pt"
    path.write_bytes(first.best.read_bytes())
    sets = ("model={name: testnet, freeze: features.0}", "train.ema=0.9", "optimizer.backbone_lr=0.01")
    experiment, _ = prepared(tiny_config, *sets, init_from=path)
    whole, parts = Run.create(tmp_path / "a", "run"), Run.create(tmp_path / "b", "run")
    Session(experiment, whole, Silent()).train()
    assert stopped(experiment, parts, after=2)
    path.unlink()
    launch.train(load_config(parts.config), parts, Silent())
    assert_same_state(whole, parts)
    other = load_config(parts.config, ["model.init_from=other.pt"])
    with pytest.raises(CheckpointError, match=rf"model\.init_from: was {path}, would be {Path('other.pt').absolute()}"):
        changes_of(other, checkpoints.load(parts.last), allow=False)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        prepared(parts.config)  # which would repeat it
