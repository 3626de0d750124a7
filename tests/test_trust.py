"""What torch is let read, and that honest checkpoints are among it."""

from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pytest
import torch

from cnncli import checkpoint as checkpoints
from cnncli.checkpoint import Checkpoint
from cnncli.config.loading import Document
from cnncli.config.validation import validate
from cnncli.errors import CheckpointError
from cnncli.experiment import Experiment
from cnncli.trust import check_archive


def written(value: Any) -> BytesIO:
    """Return what torch makes of a value."""
    content = BytesIO()
    torch.save(value, content)
    return content


def check(content: BytesIO) -> None:
    check_archive(content, len(content.getvalue()))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_checkpoints_of_every_optimizer_are_read(optimizer: str, schedule: str, tiny_npz: Path, tmp_path: Path) -> None:
    """After a step, with an average of the weights, in channels_last; a plateau begins with an infinite loss."""
    sections = {
        "data": {"name": "npz", "path": str(tiny_npz), "validation": 0.2},
        "model": {"name": "lenet5"},
        "train": {"ema": 0.9},
        "optimizer": {"name": optimizer},
        "schedule": {"name": schedule},
        "runtime": {"device": "cpu", "memory_format": "channels_last"},
    }
    experiment = Experiment.prepare(validate(Document("test", sections)))
    loader = experiment.train_loader()
    state = experiment.build_state(loader)
    batch = next(iter(loader.epoch(0)))
    state.backward(state.criterion(state.model(batch.images), batch.targets), 1.0)
    state.step()
    history = [{"epoch": 1, "lr": 0.1, "train": {"loss": float("inf"), "accuracy": 0.5}, "val": None}]
    checkpoints.save(experiment.checkpoint(state, history), tmp_path / "a.pt")
    loaded = checkpoints.load(tmp_path / "a.pt")
    again = experiment.build_state(loader)
    again.load_state_dict(loaded.state)
    for name, value in state.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value)
    for name, value in state.evaluated_model.state_dict().items():
        assert torch.equal(loaded.build().state_dict()[name], value)


def test_a_long_list_of_names_is_read(tmp_path: Path) -> None:
    """As many as a tenth of ImageNet, and short ones, of which a pickle takes the most steps a byte."""
    names = {"val": [f"n{n % 1000:08}/{n:08}.JPEG" for n in range(130_000)], "test": list(map(str, range(100_000)))}
    preprocess = {"size": 1, "channels": 1, "mean": [0.0], "std": [1.0]}
    checkpoint = Checkpoint("lenet5", {}, {}, ["a"], preprocess, {}, {}, names)
    checkpoints.save(checkpoint, tmp_path / "a.pt")
    assert asdict(checkpoints.load(tmp_path / "a.pt")) == asdict(checkpoint)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": torch.zeros(1).expand(10**12)}, "shape [1000000000000], of which 1 numbers are stored"),
        ({"a": torch.zeros(10)[5:].as_strided((3, 3), (1, 1))}, "shape [3, 3], of which 5 numbers are stored"),
        ({"a": torch.zeros(1, requires_grad=True)}, "a tensor with a gradient"),
        ({"a": torch.nn.Parameter(torch.zeros(1))}, "its pickle names torch._utils _rebuild_parameter"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "its pickle names torch._utils _rebuild_sparse_tensor"),
        ({"a": torch.zeros(1, device="meta")}, "its pickle names torch._utils _rebuild_meta_tensor"),
        ({"a": torch.zeros(1, dtype=torch.complex64)}, "its pickle names torch ComplexFloatStorage"),
        ({"a": np.float64(1)}, "its pickle names numpy"),
        ({"a": {1, 2}}, "its pickle names __builtin__ set"),
        ({"a": b"bytes"}, "its pickle names _codecs encode"),
        ({"a": torch.float32}, "its pickle names torch float32"),
        ({"a": Path("x")}, "its pickle names pathlib"),
        ({(1, 2): 3}, "its pickle has a key that is no word"),
        ({None: 3}, "its pickle has a key that is no word"),
        ({"a": torch.FloatStorage}, "it holds a global where it should have a value"),
        (torch.zeros(1), "it holds a tensoroutline"),
    ],
)
def test_what_no_checkpoint_holds_is_not_read(value: Any, message: str) -> None:
    with pytest.raises(CheckpointError) as error:
        check(written(value))
    assert message in str(error.value)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, "x", None, True, (1,)]}, {1: torch.zeros(0)}, [torch.tensor(1)]])
def test_plain_values_are_read(value: Any) -> None:
    check(written(value))


def test_an_archive_that_goes_on_or_begins_earlier_is_refused() -> None:
    content = written({"a": 1}).getvalue()
    for changed in (b"x" + content, content[:-22] + b"x" + content[-22:], content[:-30] + b"\1" + content[-29:]):
        with pytest.raises((CheckpointError, BadZipFile)):
            check(BytesIO(changed))
