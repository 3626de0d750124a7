"""What several tests share."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnncli import launch
from cnncli.config.validation import load_config
from cnncli.display import Display
from cnncli.run import Run
from tests import browser
from tests.forks import Forks, forking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Where tests run in the background of a script, these are ignored, and so they would be by all that they start.
for _number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)

SHARED = Path(__file__).resolve().parents[2] / "shared"  # beside the checkout, where there is one


@pytest.fixture(autouse=True)
def two_threads_at_most() -> Any:
    """Undo what a test does to torch's threads."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep caches out of the home directory."""
    monkeypatch.setenv("CNN_CACHE", str(tmp_path_factory.mktemp("cache")))


def write_tiny_npz(folder: Path) -> Path:
    """Write 60 train and 20 test images [12, 12], four classes told apart by the brightest quarter."""
    random = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 60), ("test", 20)):
        labels = np.arange(count) % 4
        images = random.integers(0, 100, (count, 12, 12), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 2)
            image[row * 6 : row * 6 + 6, column * 6 : column * 6 + 6] += 120
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    path = folder / "tiny.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def tiny_npz(tmp_path: Path) -> Path:
    """Write the tiny images."""
    return write_tiny_npz(tmp_path)


PictureFolder = Callable[..., Path]


def write_pictures(
    root: Path, *splits: str, per_class: int = 8, kind: str = "jpg", size: tuple[int, int] = (50, 40)
) -> Path:
    """Write smooth pictures, one folder a class, told apart by which half is bright."""
    random = np.random.default_rng(0)
    for split in splits or ("",):
        for label, name in enumerate(("left", "right", "top")):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(per_class):
                pixels = random.integers(0, 100, (4, 4, 3), dtype=np.uint8)
                bright = (pixels[:, :2], pixels[:, 2:], pixels[:2])[label]
                bright += 150
                picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
                picture.save(folder / f"{number}.{kind}")
    return root


@pytest.fixture
def picture_folder(tmp_path: Path) -> PictureFolder:
    """Return a function that writes smooth pictures into a folder of the test's own."""
    return partial(write_pictures, tmp_path / "pictures")


def write_folder_config(folder: Path, root: Path) -> Path:
    """Write a config that trains tinyvgg on 24 pictures that are one tree."""
    path = folder / "folder.yaml"
    path.write_text(
        f"data: {{name: image_folder, root: {root}, size: 32, validation: 0.25, test: 0.2, workers: 0}}\n"
        "model: {name: tinyvgg}\n"
        "train: {epochs: 2, batch_size: 5, log_every: 1}\n"
        "runtime: {device: cpu}\n"
    )
    return path


@pytest.fixture
def folder_config(tmp_path: Path, picture_folder: PictureFolder) -> Path:
    """Write a config that trains tinyvgg on pictures."""
    return write_folder_config(tmp_path, picture_folder())


def write_tiny_config(folder: Path, images: Path) -> Path:
    """Write a config that trains lenet5 on the tiny images in a second."""
    path = folder / "tiny.yaml"
    path.write_text(
        f"data: {{name: npz, path: {images}, validation: 0.2}}\n"
        "model: {name: lenet5, activation: tanh}\n"
        "train: {epochs: 2, batch_size: 16, log_every: 1}\n"
        "runtime: {device: cpu}\n"
    )
    return path


@pytest.fixture
def tiny_config(tmp_path: Path, tiny_npz: Path) -> Path:
    """Write a config that trains lenet5 on the tiny images."""
    return write_tiny_config(tmp_path, tiny_npz)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train lenet5 on the tiny images, once for all tests that only read a run."""
    folder = tmp_path_factory.mktemp("tiny")
    return _trained(write_tiny_config(folder, write_tiny_npz(folder)), folder)


@pytest.fixture(scope="session")
def folder_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train tinyvgg on pictures, once for all tests that only read a run."""
    folder = tmp_path_factory.mktemp("folder")
    return _trained(write_folder_config(folder, write_pictures(folder / "pictures")), folder)


def _trained(config: Path, folder: Path) -> Run:
    sets = ["data.cache=memory"] if "image_folder" in config.read_text() else []
    run = Run.at(folder / "runs" / config.stem)
    launch.train(load_config(config, sets), run, Display())
    return run


Cnn = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def warm() -> Iterator[Forks | None]:
    """Start what commands are forked from; nothing where there is no fork."""
    if sys.platform == "win32":
        yield None
        return
    with forking() as made:
        yield made


@pytest.fixture
def cnn(tmp_path: Path, warm: Forks | None) -> Cnn:
    """Return a function that runs ``cnn`` with arguments in an empty directory and captures what it prints."""

    def run(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        words, env = list(map(str, arguments)), {**os.environ, "COLUMNS": "100", **environment}
        if warm is not None and not any(name.startswith("PYTHON") for name in environment):  # what starts Python reads
            return warm.run(tmp_path, words, env)
        command = [sys.executable, "-m", "cnncli", *words]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """Start Chromium. It ends once the pipe to it is closed, also in all that is forked meanwhile: so by the module."""
    with browser.chromium() as started:
        yield started


@pytest.fixture
def page(chromium: "Browser") -> "Iterator[Page]":
    """Open an empty page; what goes wrong in it, or is fetched by it, fails the test."""
    with browser.watched(chromium) as opened:
        yield opened
