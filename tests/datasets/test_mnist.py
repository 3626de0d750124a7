"""MNIST as it is shipped."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

import cnncli
from cnncli.datasets import SplitName
from cnncli.datasets.mnist import MNIST

FOLDER = Path(cnncli.__file__).parent / "datasets"


def test_the_arrays_have_the_published_sums() -> None:
    """The sums stand beside the file, in mnist.md."""
    stated = dict(re.findall(r"\| (\w+) \| ([0-9a-f]{64}) \|", (FOLDER / "mnist.md").read_text()))
    with np.load(FOLDER / "mnist.npz", allow_pickle=False) as arrays:
        assert {name: hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in arrays.files} == stated
    assert len(stated) == 4


@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_splits(split: SplitName, count: int) -> None:
    loaded = MNIST().load(split)
    assert loaded.images.shape == (count, 1, 28, 28)
    assert sorted(set(loaded.labels.tolist())) == list(range(10))
    few = MNIST().load(split, limit=3)
    assert few.labels.bincount().tolist() == [3] * 10
    first_seven = (loaded.labels == 7).nonzero()[:3].flatten()
    assert np.array_equal(few.images[few.labels == 7], loaded.images[first_seven])


def test_mean_and_deviation_are_those_of_the_training_pixels() -> None:
    pixels = MNIST().load("train").images.double() / 255
    assert MNIST.mean == (pytest.approx(pixels.mean().item(), abs=5e-5),)
    assert MNIST.std == (pytest.approx(pixels.std().item(), abs=5e-5),)
