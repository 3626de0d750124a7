"""Data sets of torchvision: read from files made here, downloaded from a server on this machine, or named as absent."""

import bz2
import gzip
import hashlib
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torchvision import datasets
from torchvision.datasets import utils

from cnncli.datasets.torchvision import Name, Torchvision, files_of
from cnncli.errors import DataError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 2, 1, 9, 0], dtype=np.uint8)


def idx(values: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
    """Write the format of LeCun's files: two zeros, the type of bytes, the number of dimensions, then each."""
    return bytes([0, 0, 8, values.ndim]) + b"".join(side.to_bytes(4, "big") for side in values.shape) + values.tobytes()


def mnist_files(folder: Path, prefixes: tuple[str, str], packed: bool = False, first: int = 0) -> None:
    """Write both splits; labels are counted from ``first``."""
    folder.mkdir(parents=True)
    for prefix, reverse in zip(prefixes, (1, -1), strict=True):
        for kind, values in (("images-idx3", IMAGES), ("labels-idx1", LABELS + np.uint8(first))):
            content = idx(np.ascontiguousarray(values[::reverse]))
            name = f"{prefix}-{kind}-ubyte"
            path, content = (folder / f"{name}.gz", gzip.compress(content)) if packed else (folder / name, content)
            path.write_bytes(content)


@pytest.mark.parametrize("name", ["FashionMNIST", "KMNIST", "MNIST"])
def test_files_like_those_of_mnist(name: str, tmp_path: Path) -> None:
    mnist_files(tmp_path / name / "raw", ("train", "t10k"))
    source = Torchvision(name, str(tmp_path))  # type: ignore[arg-type]
    train, test = source.load("train"), source.load("test")
    np.testing.assert_array_equal(train.images[:, 0].numpy(), IMAGES)
    assert train.labels.tolist() == LABELS.tolist()
    assert test.labels.tolist() == LABELS[::-1].tolist()
    assert (source.channels, source.image_size, len(source.classes)) == (1, 28, 10)


def test_letters_are_upright_and_counted_from_0(tmp_path: Path) -> None:
    mnist_files(tmp_path / "EMNIST" / "raw", ("emnist-letters-train", "emnist-letters-test"), first=1)
    source = Torchvision("EMNIST/letters", str(tmp_path))
    np.testing.assert_array_equal(source.load("train").images[0, 0].numpy(), IMAGES[0].T)
    assert source.load("train").labels.tolist() == LABELS.tolist()
    assert source.classes == tuple("abcdefghijklmnopqrstuvwxyz")


def test_cifar_is_read_with_its_class_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    colours = RANDOM.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    entry = {"data": colours.reshape(4, -1), "labels": [0, 1, 1, 0]}
    for file, _ in [*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list]:
        (folder / file).write_bytes(pickle.dumps(entry))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["cat", "dog"]}))
    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", lambda self: True)  # these are not the real files
    meta = hashlib.md5((folder / "batches.meta").read_bytes()).hexdigest()
    monkeypatch.setitem(datasets.CIFAR10.meta, "md5", meta)
    source = Torchvision("CIFAR10", str(tmp_path))
    assert source.classes == ("cat", "dog")
    np.testing.assert_array_equal(source.load("test").images.numpy(), colours)
    assert source.load("train").images.shape == (20, 3, 32, 32)  # five files of four


def test_usps_is_scaled_from_minus_one_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "3 " + " ".join(f"{i}:{v}" for i, v in enumerate(np.linspace(-1, 1, 256), start=1)) + "\n"
    content = bz2.compress(line.encode())
    monkeypatch.setitem(datasets.USPS.split_list, "test", ["", "usps.t.bz2", hashlib.md5(content).hexdigest()])
    (tmp_path / "usps.t.bz2").write_bytes(content)
    split = Torchvision("USPS", str(tmp_path)).load("test")
    assert (split.images.shape, split.labels.tolist()) == ((1, 1, 16, 16), [2])
    assert (split.images.min(), split.images.max()) == (0, 255)


@pytest.mark.parametrize("name", get_args(Name))
def test_what_is_absent_is_named_file_by_file(name: Name, tmp_path: Path) -> None:
    if name == "SVHN":
        pytest.importorskip("scipy")
    with pytest.raises(DataError, match=r"put these files there, or train with data\.download: true:") as error:
        Torchvision(name, str(tmp_path)).load("train")
    base, _, variant = name.partition("/")
    assert all(f"\n  {tmp_path / file}" in str(error.value) for file in files_of(base, variant))
    assert not any(tmp_path.iterdir())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve a folder of files like those of MNIST on this machine."""
    mnist_files(tmp_path / "served", ("train", "t10k"), packed=True)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}/"
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_it_downloads_when_asked_and_then_no_more(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (tmp_path / "served").iterdir()}
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [server])
    monkeypatch.setattr(datasets.FashionMNIST, "resources", sorted(md5.items()))
    root = tmp_path / "new" / "data"
    source = Torchvision("FashionMNIST", str(root), download=True)
    assert torch.equal(source.load("train").images[:, 0], torch.from_numpy(IMAGES))
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    assert len(Torchvision("FashionMNIST", str(root), download=True).load("test")) == 6
    assert len(Torchvision("FashionMNIST", str(root)).load("test")) == 6


def test_a_download_that_fails_says_why_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.KMNIST, "mirrors", ["http://127.0.0.1:9/"])  # where nothing listens
    with pytest.raises(DataError, match=r"could not be downloaded \(.*refused.*\)") as error:
        Torchvision("KMNIST", str(tmp_path), download=True).load("train")
    assert f"{tmp_path}/KMNIST/raw/train-images-idx3-ubyte" in str(error.value)


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100", "EMNIST/letters", "KMNIST", "MNIST", "STL10", "SVHN", "USPS"])
def test_an_archive_that_is_not_the_published_one_is_not_unpacked(
    name: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even looked into, whatever a server sends in its place: a tar that leads outside."""
    if name == "SVHN":
        pytest.importorskip("scipy")

    def send_another(url: str, path: str) -> None:
        with tarfile.open(path, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("../../evil"))

    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(utils, "_urlretrieve", send_another)
    with pytest.raises(DataError, match=r"could not be downloaded \(.*corrupted"):
        Torchvision(name, str(tmp_path / "a" / "b" / "root"), download=True).load("train")
    assert not list(tmp_path.rglob("evil"))


def test_what_is_packed_but_not_the_published_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "usps.bz2").write_bytes(bz2.compress(b"1 1:0\n" * 10_000))
    with pytest.raises(DataError, match="USPS is absent or damaged"):
        Torchvision("USPS", str(tmp_path)).load("train")


@pytest.mark.parametrize("content", [b"", b"\0\0\7\1", idx(IMAGES[:, :9]), idx(LABELS), idx(IMAGES[:2])])
def test_files_that_hold_something_else_are_damaged(content: bytes, tmp_path: Path) -> None:
    mnist_files(tmp_path / "MNIST" / "raw", ("train", "t10k"))
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=r"is absent or damaged|images or labels that it has none of"):
        Torchvision("MNIST", str(tmp_path)).load("train")
