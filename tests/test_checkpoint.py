"""Checkpoints are whole or refused."""

import errno
import os
import pickle
import random
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch

import cnncli
from cnncli import checkpoint as checkpoints
from cnncli import files
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


def write(path: Path, content: Any, is_sealed: bool = True) -> None:
    """Write what no save of ours would."""
    with path.open("wb") as file:
        sealed = checkpoints._Sealed(file)
        torch.save(content, sealed if is_sealed else file)
        if is_sealed:
            sealed.close()


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
    checkpoints.save(changed(lenet), path)
    assert (tmp_path / "last.prev.pt").read_bytes() == first
    assert checkpoints.load(path).classes == list("abcdefghij")


def test_a_link_stays_when_the_source_is_written_anew(lenet: Checkpoint, tmp_path: Path) -> None:
    last, best = tmp_path / "last.pt", tmp_path / "best.pt"
    checkpoints.save(lenet, last)
    files.link(last, best)
    before = best.read_bytes()
    checkpoints.save(changed(lenet), last)
    assert best.read_bytes() == before


def test_where_links_are_unknown_it_is_a_copy(
    lenet: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: Any) -> None:
        raise OSError("no hard links on this file system")

    monkeypatch.setattr(os, "link", no_links)
    checkpoints.save(lenet, tmp_path / "last.pt")
    files.link(tmp_path / "last.pt", tmp_path / "best.pt")
    assert checkpoints.load(tmp_path / "best.pt").model == "lenet5"


def layered(happened: Callable[[str], None]) -> None:
    """Have all that writes files in this process say so first, by the name of the system call."""
    real_open, real_link, real_replace, real_fsync = Path.open, os.link, os.replace, os.fsync

    class Layer:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: Any) -> int:
            happened("write")
            return int(self.file.write(data))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __enter__(self) -> "Layer":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

    def opened(path: Path, mode: str = "r", *arguments: Any) -> Any:
        return Layer(real_open(path, mode, 0)) if mode == "wb" else real_open(path, mode, *arguments)

    def said(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def calling(*arguments: Any) -> Any:
            happened(name)
            return call(*arguments)

        return calling

    Path.open = opened  # type: ignore[assignment,method-assign]
    os.link, os.replace = said("link", real_link), said("rename", real_replace)
    os.fsync = lambda fd: said("fsync directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "fsync", real_fsync)(fd)


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None]], None]:
    """Return :func:`layered`, which is undone after the test."""
    for owner, name in ((Path, "open"), (os, "link"), (os, "replace"), (os, "fsync")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    return layered


def changed(checkpoint: Checkpoint) -> Checkpoint:
    return replace(checkpoint, classes=list("abcdefghij"))


def test_the_order_in_which_a_save_reaches_the_disk(
    lenet: Checkpoint, tmp_path: Path, layer: Callable[[Callable[[str], None]], None]
) -> None:
    """The new file is whole on the disk before a name changes, and the one before has a name at all times."""
    checkpoints.save(lenet, tmp_path / "last.pt")
    calls: list[str] = []
    layer(calls.append)
    checkpoints.save(changed(lenet), tmp_path / "last.pt")
    assert [name for name, _ in groupby(calls)] == ["write", "fsync", "link", "rename", "fsync directory"]
    assert calls.count("rename") == 2  # of the generation before, then of the new one


KILLED_AT_EACH_CALL = """
import os, sys
from pathlib import Path
import torch
from cnncli import checkpoint as checkpoints
from tests.test_checkpoint import changed, layered

path = Path(sys.argv[1])
before = checkpoints.load(path)
checkpoints.save(before, path)
for number in range(10_000):
    if not (child := os.fork()):
        left = [number]
        def happened(call):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
        layered(happened)
        checkpoints.save(changed(before), path)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = "".join(checkpoints.load(path).classes)
    print(ended, found, "".join(checkpoints.load(checkpoints.previous(path)).classes), flush=True)
    if not ended:
        break
    if found != "0123456789":
        checkpoints.save(before, path)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")
def test_killed_before_any_of_its_system_calls_a_save_leaves_what_loads(lenet: Checkpoint, tmp_path: Path) -> None:
    checkpoints.save(lenet, tmp_path / "last.pt")
    command = [sys.executable, "-c", KILLED_AT_EACH_CALL, tmp_path / "last.pt"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    old, new = "0123456789", "abcdefghij"
    seen = [tuple(line.split()) for line in done.stdout.splitlines()]
    assert len(seen) > 50
    assert seen[-1] == ("0", new, old)
    assert set(seen[:-1]) == {("9", old, old), ("9", new, old)}
    files.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", "last.prev.pt"}


def test_a_disk_that_fills_up_at_any_write_leaves_what_there_was(
    lenet: Checkpoint, tmp_path: Path, layer: Callable[[Callable[[str], None]], None]
) -> None:
    path = tmp_path / "last.pt"
    for checkpoint in (lenet, changed(lenet)):
        checkpoints.save(checkpoint, path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    calls: list[str] = []
    full_at = 10_000

    def happened(call: str) -> None:
        calls.append(call)
        if len(calls) > full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    layer(happened)
    checkpoints.save(lenet, tmp_path / "other.pt")
    (tmp_path / "other.pt").unlink()
    num_calls = calls.index("fsync") + 1
    assert num_calls > 50
    for number in range(num_calls):
        full_at = number
        calls.clear()
        with pytest.raises(MachineError, match=r"cannot write \d.\d MB: No space left on device.*; what was saved"):
            checkpoints.save(lenet, path)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def run_in_a_small_file_system(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=400k none {folder} && exec {sys.executable} -"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, input=script, env=env, capture_output=True, text=True, timeout=300, check=False)


FILLS_UP = """
import sys
from pathlib import Path
from cnncli import checkpoint as checkpoints
from cnncli.errors import MachineError
from tests.test_checkpoint import changed

path = Path(FOLDER) / "last.pt"
lenet = checkpoints.load(SOURCE)
checkpoints.save(lenet, path)
try:
    checkpoints.save(changed(lenet), path)  # 0.25 MB each, in 0.4
except MachineError as error:
    print(error)
print(checkpoints.load(path).classes == lenet.classes, [file.name for file in path.parent.iterdir()])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system of its own")
def test_a_full_disk_is_said_to_lack_so_much(lenet: Checkpoint, tmp_path: Path) -> None:
    folder, source = tmp_path / "small", tmp_path / "a.pt"
    folder.mkdir()
    if shutil.which("unshare") is None or run_in_a_small_file_system("", folder).returncode:
        pytest.skip("may not mount a file system")
    checkpoints.save(lenet, source)
    script = FILLS_UP.replace("FOLDER", repr(str(folder))).replace("SOURCE", repr(str(source)))
    done = run_in_a_small_file_system(script, folder)
    assert done.returncode == 0, done.stderr
    said, found = done.stdout.splitlines()
    assert found == "True ['last.pt']"
    assert re.fullmatch(
        r".*last\.pt: cannot write 0\.3 MB: No space left on device, 0\.\d MB are missing; what was .* whole", said
    )


def test_a_damaged_generation_gives_way_to_the_one_before(lenet: Checkpoint, tmp_path: Path) -> None:
    path, warnings = tmp_path / "last.pt", list[str]()
    for checkpoint in (lenet, changed(lenet)):
        checkpoints.save(checkpoint, path)
    assert checkpoints.load_newest(path, warnings.append).classes == list("abcdefghij")
    assert not warnings
    path.write_bytes(path.read_bytes()[:-1])
    assert checkpoints.load_newest(path, warnings.append).classes == list("0123456789")
    assert warnings[0].endswith("cut short; taking the generation before, " + str(tmp_path / "last.prev.pt"))
    (tmp_path / "last.prev.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"(?s)last\.pt: .*last\.prev\.pt: .*no generation"):
        checkpoints.load_newest(path, warnings.append)


def test_every_truncation_and_every_flipped_bit_is_found(lenet: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoints.save(replace(lenet, weights={"weight": torch.arange(10.0)}), path)  # small, so that all parts are hit
    whole = path.read_bytes()
    checkpoints.load(path)
    draw = random.Random(0)
    damaged = [whole[: draw.randrange(len(whole))] for _ in range(100)]
    for _ in range(1000):
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
        write(path, {"cnncli": checkpoints.FORMAT, "model": Hostile()}, is_sealed=make == "sealed")
    with pytest.raises(CheckpointError):
        checkpoints.load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cnncli": 1}, "format 1"),
        ({"cnncli": 3}, "format 3"),
        ({"classes": None}, "classes"),
        ({"cnncli": None}, "not a checkpoint"),
    ],
)
def test_other_formats_are_named(changes: dict[str, Any], message: str, lenet: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    plain = {"cnncli": checkpoints.FORMAT, **vars(lenet), **changes}
    write(path, {key: value for key, value in plain.items() if value is not None})
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "lenet5\x1b[2J"}, "its model must be the name of a model"),
        ({"options": {"num_classes": float("inf")}}, "its options must be words and finite numbers by name"),
        ({"weights": {"a": 1}}, "its weights must be tensors by name"),
        ({"weights": {"a\n": torch.zeros(1)}}, "its weights must be tensors by name"),
        ({"classes": "0123456789"}, "its classes must be a list of names"),
        ({"classes": []}, "its classes must be a list of names"),
        ({"config": {"train": 1}}, "its config must be sections of words and finite numbers"),
        ({"config": {"train": {1: 1}}}, "its config must be sections of words and finite numbers"),
        ({"config": {"train": {"lr": float("nan")}}}, "its config must be sections of words and finite numbers"),
        ({"state": []}, "its state must be a section"),
        ({"held_out": {"val": "names"}}, "its held_out must be lists of file names by split"),
        ({"held_out": {"val": ["\ud800"]}}, "its held_out must be lists of file names by split"),
        ({"held_out": {"../x": []}}, "its held_out must be lists of file names by split"),
        ({"preprocess": {}}, "its preprocess is not to be used: size: Field required"),
        ({"preprocess": {"mean": [float("nan")]}}, "its preprocess must be words and finite numbers by name"),
        ({"preprocess": {"size": 28, "channels": 1, "mean": [0.0], "std": [0.0]}}, "std.0: Input should be greater"),
        ({"preprocess": {"size": 28, "channels": 3, "mean": [0.0], "std": [1.0]}}, "a number for each channel"),
        ({"preprocess": {"size": 10**6, "channels": 1, "mean": [0.0], "std": [1.0]}}, "size: Input should be less"),
        ({"preprocess": {"size": 1, "channels": 1, "mean": [0], "std": [1], "x": 1}}, "nothing is known of 'x'"),
    ],
)
def test_a_field_that_is_not_what_it_has_to_be(
    changes: dict[str, Any], message: str, lenet: Checkpoint, tmp_path: Path
) -> None:
    checkpoints.save(replace(lenet, **changes), tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as error:
        checkpoints.load(tmp_path / "a.pt")
    assert str(error.value).startswith(f"{tmp_path / 'a.pt'}: ")
    assert message in str(error.value)


def test_names_are_kept_as_the_file_system_has_them(lenet: Checkpoint, tmp_path: Path) -> None:
    """Bytes that are no UTF-8, a line break, paths of a table that lead elsewhere: a run may have met them all."""
    odd = ["caf\udce9.jpg", "a\nb.jpg", "../c.jpg", "/d.jpg", "\u202e.jpg"]
    checkpoints.save(replace(lenet, classes=[*odd, "</script>"], held_out={"val": odd, "test": []}), tmp_path / "a.pt")
    loaded = checkpoints.load(tmp_path / "a.pt")
    assert (loaded.classes, loaded.held_out) == ([*odd, "</script>"], {"val": odd, "test": []})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"num_classes": 9}}, "its num_classes is 9, but the checkpoint's own is 10"),
        ({"options": {"in_channels": 3}}, "its in_channels is 3, but the checkpoint's own is 1"),
        ({"options": {"image_size": 32}}, "its image_size is 32, but the checkpoint's own is 28"),
        ({"options": {"num_classes": 10**9}}, "model.num_classes: must be at most 100000, got 1000000000"),
        ({"options": {"hidden": 10}}, "model.hidden: unknown option of lenet5"),
        ({"options": {"activation": "__import__"}}, "model.activation: must be relu or tanh, got '__import__'"),
        ({"weights": {"x": torch.zeros(2)}}, "features.0.weight is float32 [6, 1, 5, 5] there, but absent in the file"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(changes: dict[str, Any], message: str, lenet: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)):
        replace(lenet, **changes).build()


def test_weights_of_another_type_or_too_many_are_refused(lenet: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match=r"extra is absent there, but float32 \[1\] in the file"):
        replace(lenet, weights=lenet.weights | {"extra": torch.zeros(1)}).build()
    with pytest.raises(CheckpointError, match=r"float32 \[6\] there, but float64 \[6\] in the file"):
        replace(lenet, weights=lenet.weights | {"features.0.bias": torch.zeros(6).double()}).build()


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
