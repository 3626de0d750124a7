"""Files of people who mean harm, through the real command: in two seconds and 500 MB each is one message.

No code runs, and nothing is written: :mod:`tests.jail` ends a command that tries to, with an exit code of its own.
"""

import io
import os
import pickle
import signal
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnncli.checkpoint import COMMENT_BYTES, FORMAT
from cnncli.models.lenet5 import LeNet5
from tests.hostile import Calls, archived, pickled, png, sealed, tensor
from tests.jail import RAN, Done, Jail

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no fork")

WEIGHTS = LeNet5(num_classes=2).state_dict()
IMAGES, LABELS = np.zeros((4, 28, 28), np.uint8), np.array([0, 1, 0, 1])


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    jail = Jail()
    yield jail
    jail.close()


def refused(jail: Jail, folder: Path, *arguments: str) -> Done:
    """Run a command that should refuse a file, and see that it left no trace."""
    before = sorted(folder.rglob("*"))
    done = jail.run(folder, *arguments)
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.err.startswith("error: "), done
    assert "\nerror: " not in done.err
    assert sorted(folder.rglob("*")) == before
    return done


def checkpoint(**changes: Any) -> bytes:
    """Return a sealed checkpoint that would be good but for its changes."""
    plain = {
        "cnncli": FORMAT,
        "model": "lenet5",
        "options": {"num_classes": 2, "in_channels": 1, "image_size": 28},
        "weights": WEIGHTS,
        "classes": ["cat", "dog"],
        "preprocess": {"size": 28, "channels": 1, "mean": [0.5], "std": [0.5]},
        "config": {"data": {"name": "npz", "path": "images.npz"}, "model": {"name": "lenet5"}},
        "state": {},
        "held_out": {},
    }
    content = io.BytesIO()
    torch.save(plain | changes, content)
    return sealed(content.getvalue())


def saved(value: Any) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return sealed(content.getvalue())


def unfolding() -> bytes:
    """Return a list of two lists of two lists …, 2**60 in all, of which each is there once."""
    value: Any = []
    for _ in range(60):
        value = [value, value]
    return saved({"cnncli": FORMAT, "value": value})


def endless() -> bytes:
    value: dict[str, Any] = {"cnncli": FORMAT}
    value["value"] = [value]
    return saved(value)


def two_lists() -> bytes:
    """Return an archive of which one reader sees a second list of records, and another the first."""
    whole = saved({"cnncli": FORMAT})[:-71]
    return sealed(b"PK\5\6" + whole)


RUN = Calls(os.system, "touch ran")
DEEP = b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s."
NO_NEED = "which no checkpoint needs"
CHECKPOINTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a bare pickle that calls os.system": (
        lambda: pickle.dumps(RUN),
        "not a checkpoint of cnncli, or one that was cut",
    ),
    "os.system in a sealed one": (lambda: checkpoint(model=RUN), f"its pickle names posix system, {NO_NEED}"),
    "eval": (lambda: saved(Calls(eval, "open('ran', 'w')")), f"its pickle names __builtin__ eval, {NO_NEED}"),
    "subprocess": (lambda: archived(b"csubprocess\nPopen\n(X\4\0\0\0truetR."), f"names subprocess Popen, {NO_NEED}"),
    "an attribute of an attribute": (lambda: archived(b"\x80\x02\x8c\2os\x8c\6system\x93."), "holds SHORT_BINUNICODE"),
    "an extension of the registry": (lambda: archived(b"\x82\1."), f"its pickle holds EXT1, {NO_NEED}"),
    "ten gigabytes of zeros": (lambda: saved(Calls(bytearray, 10**10)), "its pickle names __builtin__ bytearray"),
    "a dict copied over and over": (
        lambda: saved(Calls(OrderedDict, [(number, number) for number in range(1000)])),
        "its pickle calls what no checkpoint needs to call",
    ),
    "a tuple that overflows the stack": (lambda: archived(DEEP), "its pickle has a key that is no word"),
    "a million empty dicts": (
        lambda: archived(b"\x80\x02" + b"}" * 3_000_000),
        "more steps than its size accounts for",
    ),
    "a pickle without an end": (lambda: archived(b"\x80\x02}"), "its pickle is none that torch writes"),
    "2**60 values that are one": (unfolding, "its values unfold into too many, or hold themselves"),
    "a dict that holds itself": (endless, "its values unfold into too many, or hold themselves"),
    "more numbers than its record": (
        lambda: archived(pickled({"cnncli": FORMAT, "a": tensor((10**9,), (1,), 10**9)})),
        "record 0 holds 64 bytes, not the 1,000,000,000 numbers it claims",
    ),
    "a huge shape": (
        lambda: archived(pickled({"cnncli": FORMAT, "a": tensor((10**6, 10**6), (10**6, 1), 16)})),
        "a tensor of shape [1000000, 1000000], of which 16 numbers are stored",
    ),
    "a billion numbers that are one": (
        lambda: archived(pickled({"cnncli": FORMAT, "a": tensor((10**12,), (0,), 16)})),
        "a tensor of shape [1000000000000], of which 16 numbers are stored",
    ),
    "a negative shape": (
        lambda: archived(pickled({"cnncli": FORMAT, "a": tensor((-4, -4), (1, 1), 16)})),
        "a tensor of shape [-4, -4], of which 16 numbers are stored",
    ),
    "an archive in an archive": (
        lambda: archived(b"}.", **{"a/inner.zip": archived(b"}.")}),
        "its archive holds a/inner.zip, which no checkpoint needs",
    ),
    "a record that leads outside": (lambda: archived(b"}.", **{"../../evil": b"x"}), "its archive holds ../../evil"),
    "a record of another drive": (lambda: archived(b"}.", **{"C:\\evil": b"x"}), r"its archive holds C:\evil"),
    "a record that clears the screen": (lambda: archived(b"}.", **{"\x1b[2J\n": b""}), r"its archive holds \x1b[2J\n"),
    "records that are compressed": (
        lambda: archived(pickled({"cnncli": FORMAT}), zipfile.ZIP_DEFLATED, **{"a/data/1": bytes(10**8)}),
        "its records are compressed, which may be a decompression bomb",
    ),
    "an archive with two ends": (two_lists, "its archive does not end as torch writes it"),
    "weights of wrong shapes": (
        lambda: checkpoint(weights={name: value.flatten() for name, value in WEIGHTS.items()}),
        "features.0.weight is float32 [6, 1, 5, 5] there, but float32 [150] in the file",
    ),
    "a network of a trillion weights": (
        lambda: checkpoint(options={"num_classes": 10**9}),
        "model.num_classes: must be at most 100000, got 1000000000",
    ),
    "a network of 60 GB": (  # as 256 maps of 127×127 and 4,096 units make
        lambda: checkpoint(
            model="alexnet",
            options={"num_classes": 2, "in_channels": 1, "image_size": 4096},
            preprocess={"size": 4096, "channels": 1, "mean": [0.0], "std": [1.0]},
        ),
        "features.0.weight is float32 [96, 1, 11, 11] there, but float32 [6, 1, 5, 5] in the file",
    ),
    "channels that its images don't have": (
        lambda: checkpoint(
            options={"num_classes": 2, "in_channels": 5, "image_size": 28},
            preprocess={"size": 28, "channels": 5, "mean": [0.0] * 5, "std": [1.0] * 5},
        ),
        "the images have 1 channels, but the network takes 5",
    ),
    "a mean that is no number": (
        lambda: checkpoint(preprocess={"size": 28, "channels": 1, "mean": [float("nan")], "std": [0.5]}),
        "its preprocess must be words and finite numbers by name",
    ),
    "images of a terabyte": (
        lambda: checkpoint(preprocess={"size": 10**6, "channels": 1, "mean": [0.5], "std": [0.5]}),
        "its preprocess is not to be used: size: Input should be less than or equal to 4096",
    ),
    "a module as its model": (lambda: checkpoint(model="os"), "unknown model 'os'"),
    "a file as its model": (lambda: checkpoint(model="../../evil"), "unknown model '../../evil'"),
    "code as an option": (
        lambda: checkpoint(options={"activation": "__import__('os').system('touch ran')"}),
        "model.activation: must be relu or tanh, got",
    ),
    "a module as its data set": (
        lambda: checkpoint(config={"data": {"name": "os.path"}, "model": {"name": "lenet5"}}),
        "data.name: unknown data set 'os.path'",
    ),
    "a config that is no config": (
        lambda: checkpoint(config={"data": [1]}),
        "its config must be sections of words and",
    ),
    "a format that is a novel": (lambda: checkpoint(cnncli="x" * 10**6), "not a checkpoint of cnncli"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_hostile_checkpoint_is_refused(name: str, jail: Jail, tmp_path: Path) -> None:
    make, message = CHECKPOINTS[name]
    (tmp_path / "hostile.pt").write_bytes(make())
    np.savez(tmp_path / "images.npz", test_images=IMAGES, test_labels=LABELS, classes=np.array(["cat", "dog"]))
    done = refused(jail, tmp_path, "eval", "hostile.pt")
    assert message in done.err
    assert done.exit_code == 4
    assert len(done.err) < 1000


def test_a_hostile_file_of_weights_is_refused(jail: Jail, tmp_path: Path) -> None:
    """The same archives as torch would write them, without a seal; none holds weights by name."""
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    for name, (make, message) in CHECKPOINTS.items():
        (tmp_path / "hostile.pt").write_bytes(make()[: -COMMENT_BYTES - 2] + b"\0\0")
        done = refused(
            jail, tmp_path, "import", "hostile.pt", "--model", "lenet5", "--classes", "names.txt", "-o", "a.pt"
        )
        assert done.exit_code == 4, name
        assert done.err.startswith("error: hostile.pt: "), name
        if "its pickle" in message or "its archive" in message:
            assert message in done.err, name


def test_what_the_others_differ_from_is_good(jail: Jail, tmp_path: Path) -> None:
    """So that none of them is refused for another reason than its own."""
    (tmp_path / "good.pt").write_bytes(checkpoint())
    (tmp_path / "also_good.pt").write_bytes(archived(pickled({"cnncli": FORMAT + 1})))
    np.savez(tmp_path / "images.npz", test_images=IMAGES, test_labels=LABELS, classes=np.array(["cat", "dog"]))
    done = jail.run(tmp_path, "eval", "good.pt")
    assert (done.exit_code, done.err) == (0, "")
    assert "(4 images, good.pt)" in done.out
    assert f"format {FORMAT + 1}, but this cnncli reads {FORMAT}" in jail.run(tmp_path, "eval", "also_good.pt").err


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["</script>", "<img src=x>"], "</script>, <img src=x>"),
        (["a\x1b[2J\x9b1m", "\u202eb\nerror: c"], r"a\x1b[2J\x9b1m, \u202eb\nerror: c"),
    ],
)
def test_names_of_classes_are_seen_as_they_are(classes: list[str], message: str, jail: Jail, tmp_path: Path) -> None:
    (tmp_path / "hostile.pt").write_bytes(checkpoint(classes=classes))
    np.savez(tmp_path / "images.npz", test_images=IMAGES, test_labels=LABELS, classes=np.array(["cat", "dog"]))
    done = refused(jail, tmp_path, "eval", "hostile.pt")
    assert done.err.splitlines()[1:3] == ["  only the data have cat, dog", f"  only the network knows {message}"]
    assert done.exit_code == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "os.path"}, "this cnncli does not understand unknown model 'os.path'"),
        ({"options": {"name": "alexnet"}}, "model.name: must be lenet5, got 'alexnet'"),
        ({"options": {"num_classes": 10**9}}, "model.num_classes: must be at most 100000"),
    ],
)
def test_one_that_says_it_was_imported_is_checked_as_well(
    changes: dict[str, Any], message: str, jail: Jail, tmp_path: Path
) -> None:
    (tmp_path / "hostile.pt").write_bytes(checkpoint(config={}, **changes))
    np.savez(tmp_path / "images.npz", test_images=IMAGES, test_labels=LABELS, classes=np.array(["cat", "dog"]))
    done = refused(jail, tmp_path, "eval", "hostile.pt", "--data", "images.npz")
    assert message in done.err
    assert done.exit_code == 4


def test_held_out_files_are_looked_for_in_the_folder_alone(jail: Jail, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "cat").mkdir(parents=True)
    (tmp_path / "pictures" / "dog").mkdir()
    for name in ("cat/1.png", "dog/1.png"):
        Image.new("L", (28, 28)).save(tmp_path / "pictures" / name)
    data = {"name": "image_folder", "root": "pictures", "test": 0.5, "validation": 0.0, "size": 28, "channels": 1}
    config = {"data": data, "model": {"name": "lenet5"}}
    held_out = {"test": ["../../../etc/passwd\n\x1b[2J", "/etc/passwd"]}
    (tmp_path / "hostile.pt").write_bytes(checkpoint(config=config, held_out=held_out))
    done = refused(jail, tmp_path, "eval", "hostile.pt")
    assert done.exit_code == 3
    assert r"the first is ../../../etc/passwd\n\x1b[2J of its test split" in done.err


LAYERS = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
GOOD = "data: {name: mnist}\nmodel: {name: lenet5}\n"
CONFIGS = {
    "an object": (
        "a: !!python/object/apply:os.system ['touch ran']",
        ":1: the tag tag:yaml.org,2002:python/object/appl",
    ),
    "a module": ("a: !!python/module:antigravity", ":1: the tag tag:yaml.org,2002:python/module:antigravity is not"),
    "a tag that forges a line": (
        "a: !%0aerror:%20%1b[2J b",
        r":1: the tag !\nerror: \x1b[2J is not allowed in a config",
    ),
    "a billion laughs": ("\n".join(["a0: &a0 [1, 1]", *LAYERS]), "aliases unfold into more than 10,000 values"),
    "an alias that holds itself": ("a: &a [*a]", ":1: an alias that contains itself"),
    "deep nesting": ("a: " + "[" * 500_000, "nested too deeply"),
    "half a million values": ("a: [" + "1," * 450_000 + "]", "more than 10,000 values, which no config has"),
    "a gigabyte of zeros": ("a: " + "0" * 1_100_000, "larger than 1 MB, which no config is"),
    "a number of 5,000 digits": (GOOD + "train: {epochs: " + "9" * 5000 + "}", ":3: '9999"),
    "not a number": (GOOD + "optimizer: {lr: .nan}", ":3: optimizer.lr: must be a finite number, got nan"),
    "control characters": (GOOD + "train: {seed: \x1b[2J}", r":3: not valid YAML: it has no place for '\x1b'"),
    "escapes for them": (
        GOOD + 'train: {seed: "\\e[2J\\u202e"}',
        r":3: train.seed: must be a whole number, got '\x1b[2J\u",
    ),
    "a key of two lines": (GOOD + '"a\\nb": 1', ":3: a key must be a word"),
    "a data set that is a path": ("data: {name: ../../evil}\nmodel: {name: lenet5}", "unknown data set '../../evil'"),
    "a model that is a module": ("data: {name: mnist}\nmodel: {name: os.path}", "unknown model 'os.path'"),
    "a transform that is code": (
        GOOD + "augment: {transforms: [{name: Lambda, lambd: print}]}",
        "'Lambda' is no transform",
    ),
    "a name of a run that leads outside": (
        GOOD + "train: {name: ../../evil}",
        ":3: train.name: must be made of letters",
    ),
    "bytes that are no text": (b"\xff\xfe\x00", "not UTF-8 text (byte 0)"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_config_is_refused(name: str, jail: Jail, tmp_path: Path) -> None:
    text, message = CONFIGS[name]
    (tmp_path / "hostile.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    done = refused(jail, tmp_path, "config", "validate", "hostile.yaml")
    assert message in done.err
    assert done.exit_code == 2
    assert len(done.err) < 1000


def packed(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member)
    return content.getvalue()


def array(shape: tuple[int, ...], content: bytes) -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return head.getvalue() + content


def objects() -> bytes:
    content = io.BytesIO()
    np.savez(content, train_images=IMAGES, train_labels=np.array([RUN] * 4))
    return content.getvalue()


DATA: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "arrays of objects": ("a.npz", objects, "Object arrays cannot be loaded when allow_pickle=False"),
    "a shape of terabytes": (
        "a.npz",
        lambda: packed(train_images=array((10**12, 28, 28), bytes(784))),
        "its head speaks of uint8 [1000000000000, 28, 28], but that is not its size",
    ),
    "300 MB in 1.3": (
        "a.npz",
        lambda: packed(train_images=array((300, 1000, 1000), bytes(300 * 10**6))),
        "train_images is more than 100 times as large as it is packed, which may be a decompression bomb",
    ),
    "an archive for an array": (
        "a.npz",
        lambda: packed(train_images=packed(a=b"")),
        "the array train_images is damaged",
    ),
    "an array that leads outside": ("a.npz", lambda: packed(**{"../../evil": b""}), "none of the arrays train_images,"),
    "a hundred million pixels": ("cat/a.png", lambda: png(10_000, 10_000), "a.png: more than 89,478,485 pixels"),
    "a picture that is a program": ("cat/a.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "knows"),
    "a name of two lines": ("cat/\x1b[2J\nb.png", lambda: b"x", r"cat/\x1b[2J\nb.png: not a picture that Pillow knows"),
    "a table that leads outside": (
        "a.csv",
        lambda: b"path,label\n/etc/passwd,a\n",
        "/etc/passwd: not a picture",
    ),
    "a table with a heading that forges": ("a.csv", lambda: b'"\x1b[2J\nx"\n1\n', r"known are \x1b[2J\nx"),
    "a cell of a megabyte": (
        "a.csv",
        lambda: b"path,label\n" + b"x" * 10**6 + b",a\n",
        "field larger than field limit",
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_hostile_data_are_refused(name: str, jail: Jail, tmp_path: Path) -> None:
    file, make, message = DATA[name]
    path = tmp_path / "data" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(make())
    data = {".npz": "name: npz, path: data/a.npz", ".csv": "name: csv, file: data/a.csv"}
    source = data.get(path.suffix, "name: image_folder, root: data")
    (tmp_path / "a.yaml").write_text(
        f"data: {{{source}, validation: 0, size: 28, channels: 1, workers: 0}}\nmodel: {{name: lenet5}}\n"
        "train: {report: last}\nruntime: {device: cpu}\n"
    )
    done = refused(jail, tmp_path, "train", "-c", "a.yaml", "--dry-run")
    assert message in done.err
    assert done.exit_code == 3
    assert not set(done.err) & set("\x1b\r\x9b\u202e")


def test_the_jail_holds(jail: Jail, tmp_path: Path) -> None:
    """Or nothing above would be proof of anything."""
    (tmp_path / "a.yaml").write_text(GOOD)
    elsewhere = jail.run(tmp_path, "train", "-c", "a.yaml", "--output", str(tmp_path.parent / "elsewhere"))
    assert (elsewhere.exit_code, "forbidden: os.mkdir" in elsewhere.err) == (RAN, True)
    for size, ends, words in (
        (96, (-signal.SIGXCPU, -signal.SIGKILL), ""),
        (512, (1, 7), "memory"),
    ):  # of 12,000 images
        (tmp_path / "a.yaml").write_text(f"data: {{name: shapes, size: {size}}}\nmodel: {{name: tinyvgg}}\n")
        done = jail.run(tmp_path, "train", "-c", "a.yaml", "--dry-run")
        assert done.exit_code in ends
        assert words in done.err
