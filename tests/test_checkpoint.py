"""Checkpoints are whole or refused."""

import os
import pickle
import random
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import cnncli
from cnncli import checkpoint as checkpoints
from cnncli.checkpoint import Checkpoint
from cnncli.errors import CheckpointError, DataError, MachineError
from cnncli.models.lenet5 import LeNet5


@pytest.fixture
def lenet() -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(
        model="lenet5",
        options={"num_classes": 10},
        weights=LeNet5().state_dict(),
        classes=list("0123456789"),
        preprocess={"size": 28, "channels": 1, "mean": [0.5], "std": [0.25]},
        config={"train": {"epochs": 1}},
        state={"progress": {"epoch": 0}},
    )


def test_what_was_saved_is_loaded(lenet: Checkpoint, tmp_path: Path) -> None:
    checkpoints.save(lenet, tmp_path / "a.pt")
    loaded = checkpoints.load(tmp_path / "a.pt")
    assert (loaded.model, loaded.options, loaded.classes) == (lenet.model, lenet.options, lenet.classes)
    assert loaded.preprocess == lenet.preprocess
    for key, value in lenet.weights.items():
        assert torch.equal(loaded.weights[key], value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_torch_reads_it_weights_only_and_any_zip_reader_sees_a_zip(lenet: Checkpoint, tmp_path: Path) -> None:
    checkpoints.save(lenet, tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", weights_only=True)["model"] == "lenet5"
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"sha256:")


def test_the_generation_before_is_kept(lenet: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoints.save(lenet, path)
    first = path.read_bytes()
    changed = Checkpoint(**{**vars(lenet), "classes": list("abcdefghij")})
    checkpoints.save(changed, path)
    assert (tmp_path / "last.prev.pt").read_bytes() == first
    assert checkpoints.load(path).classes == list("abcdefghij")


def test_a_link_stays_when_the_source_is_written_anew(lenet: Checkpoint, tmp_path: Path) -> None:
    last, best = tmp_path / "last.pt", tmp_path / "best.pt"
    checkpoints.save(lenet, last)
    checkpoints.link(last, best)
    before = best.read_bytes()
    checkpoints.save(Checkpoint(**{**vars(lenet), "classes": list("abcdefghij")}), last)
    assert best.read_bytes() == before


def test_where_links_are_unknown_it_is_a_copy(
    lenet: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: Any) -> None:
        raise OSError("no hard links on this file system")

    monkeypatch.setattr(os, "link", no_links)
    checkpoints.save(lenet, tmp_path / "last.pt")
    checkpoints.link(tmp_path / "last.pt", tmp_path / "best.pt")
    assert checkpoints.load(tmp_path / "best.pt").model == "lenet5"


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
def test_a_save_that_fails_leaves_what_there_was(lenet: Checkpoint, tmp_path: Path) -> None:
    import resource

    path = tmp_path / "last.pt"
    checkpoints.save(lenet, path)
    before = path.read_bytes()

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the nearest to a full disk that needs no disk
    try:
        with pytest.raises(MachineError, match=r"last\.pt: cannot write 0\.3 MB: File too large; what was"):
            checkpoints.save(lenet, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_every_truncation_and_every_flipped_bit_is_found(lenet: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoints.save(lenet, path)
    whole = path.read_bytes()
    draw = random.Random(0)
    damaged = [whole[: draw.randrange(len(whole))] for _ in range(20)]
    for _ in range(100):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            checkpoints.load(path)


class Hostile:
    """Runs a command when it is unpickled by a reader that lets it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("make", ["pickle", "torch", "sealed"])
def test_a_file_that_would_run_code_is_refused(make: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.pt"
    if make == "pickle":
        path.write_bytes(pickle.dumps(Hostile()))
    else:
        torch.save({"cnncli": 1, "model": Hostile()}, path)
    if make == "sealed":
        with path.open("r+b") as file:
            checkpoints._seal(file)
    with pytest.raises(CheckpointError):
        checkpoints.load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"cnncli": 2}, "format 2"), ({"classes": None}, "classes"), ({"cnncli": None}, "not a checkpoint")],
)
def test_other_formats_are_named(changes: dict[str, Any], message: str, lenet: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    plain = {"cnncli": 1, **vars(lenet), **changes}
    torch.save({key: value for key, value in plain.items() if value is not None}, path)
    with path.open("r+b") as file:
        checkpoints._seal(file)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(path)


def test_weights_of_another_model_are_refused(lenet: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match="does not fit model basic_cnn"):
        Checkpoint(**{**vars(lenet), "model": "basic_cnn"}).build()
    with pytest.raises(CheckpointError, match="unknown model 'lenet6'"):
        Checkpoint(**{**vars(lenet), "model": "lenet6"}).build()


def test_load_gives_model_classes_and_preprocessing_in_one_call(lenet: Checkpoint, tmp_path: Path) -> None:
    from PIL import Image

    checkpoints.save(lenet, tmp_path / "a.pt")
    network = cnncli.load(tmp_path / "a.pt")
    Image.new("RGB", (50, 40), (255, 255, 255)).save(tmp_path / "white.png")
    images = network.preprocess(tmp_path / "white.png")
    assert images.shape == (1, 1, 28, 28)
    torch.testing.assert_close(images, torch.full_like(images, (1 - 0.5) / 0.25))
    expected = LeNet5()
    expected.load_state_dict(lenet.weights)
    assert torch.equal(network.model(images), expected(images))
    assert network.classes[int(network.model(images).argmax())] in "0123456789"
    with pytest.raises(DataError, match=r"missing\.png"):
        network.preprocess(tmp_path / "missing.png")
