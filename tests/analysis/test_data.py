"""What a data set holds, against NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnncli.analysis.data import examine, moments_of
from cnncli.datasets import Split
from cnncli.datasets.image_folder import ImageFolder
from cnncli.datasets.mnist import MNIST
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.reading import BrokenFile
from tests.conftest import PictureFolder

SEEN = Preprocess(16, 3, (0.5,) * 3, (0.5,) * 3, resize="crop")


@pytest.mark.parametrize("workers", [0, 2])
def test_mean_and_deviation_are_numpys_of_what_is_seen(workers: int, picture_folder: PictureFolder) -> None:
    pictures = ImageFolder(str(picture_folder("train", per_class=25))).load("train")  # more than one chunk
    pixels = np.stack([SEEN.pixels(pictures.path(row)).numpy() for row in range(len(pictures))]) / 255
    mean, std = moments_of(pictures, SEEN, workers, "fail").mean_and_std()
    np.testing.assert_allclose(mean, pixels.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(std, pixels.std((0, 2, 3)), atol=1e-6)


def test_mnist_has_the_mean_and_deviation_that_everyone_uses() -> None:
    """0.1307 and 0.3081."""
    images = MNIST().load("train")
    mean, std = moments_of(images, Preprocess(28, 1, (0.0,), (1.0,)), 0, "fail").mean_and_std()
    assert mean == pytest.approx([0.1307], abs=5e-5)
    assert std == pytest.approx([0.3081], abs=5e-5)


def test_a_broken_file_has_no_mean(picture_folder: PictureFolder) -> None:
    pictures = ImageFolder(str(picture_folder("train"))).load("train")
    others = pictures.take(torch.tensor([row for row in range(24) if row != 3]))
    expected = moments_of(others, SEEN, 0, "fail")
    pictures.path(3).write_bytes(b"text")
    with pytest.raises(BrokenFile, match="not a picture"):
        moments_of(pictures, SEEN, 0, "fail")
    moments = moments_of(pictures, SEEN, 0, "skip")
    assert (moments.count, moments.mean_and_std()) == (23, expected.mean_and_std())


def test_sizes_are_those_one_looks_at(tmp_path: Path) -> None:
    """A picture on its side counts as it is shown."""
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, size, options in (("1", (30, 20), {}), ("2", (50, 20), {}), ("3", (90, 10), {"exif": exif})):
        Image.new("RGB", size).save(tmp_path / "a" / f"{name}.jpg", **options)
    report = examine({"train": ImageFolder(str(tmp_path)).load("train")}, ("a",), SEEN, 0)
    assert report.sizes == {"height": [20, 20, 90], "width": [10, 30, 50]}
    assert not report.is_wanting


def test_images_without_files_are_named_by_split_and_number() -> None:
    images = torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    train = Split(images, torch.tensor([0, 1, 0, 1, 0]))
    test = Split(images[[2, 2]], torch.tensor([0, 1]))
    report = examine({"train": train, "test": test}, ("a", "b"), Preprocess(16, 1, (0.5,), (0.5,)), 0)
    assert report.counts == {"train": {"a": 3, "b": 2}, "test": {"a": 1, "b": 1}}
    assert report.leaked == report.conflicting == [["train 2", "test 0", "test 1"]]
    assert report.duplicates == []
    assert report.is_wanting
