"""Pictures decoded once."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cnncli.datasets import Pictures
from cnncli.datasets.image_folder import ImageFolder
from cnncli.errors import DataError, MachineError
from cnncli.pipeline import cache
from cnncli.pipeline.cache import Cache
from cnncli.pipeline.decode import Picture
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.reading import BrokenFile
from tests.conftest import PictureFolder

PREPROCESS = Preprocess(16, 3, (0.5,) * 3, (0.25,) * 3)


@pytest.fixture
def pictures(picture_folder: PictureFolder) -> Pictures:
    return ImageFolder(str(picture_folder("train", per_class=3))).load("train")


class Kept(Cache):
    """A cache that counts how often it decodes."""

    def __init__(self, preprocess: Preprocess = PREPROCESS, on_error: Any = "fail") -> None:
        self.notes: list[str] = []
        super().__init__(preprocess, 0, on_error, self.notes.append)


def test_it_is_decoded_once_and_then_mapped(pictures: Pictures) -> None:
    first, again = Kept(), Kept()
    images = first.on_disk(pictures, may_shrink=False)[0].images
    assert torch.equal(again.on_disk(pictures, may_shrink=False)[0].images, images)
    assert len(first.notes) == 1
    assert again.notes == []
    assert [path.stat().st_size for path in cache.folder().iterdir()] == [9 * 3 * 16 * 16 + 9]
    images += 1  # changes no file
    assert not torch.equal(again.on_disk(pictures, may_shrink=False)[0].images, images)


@pytest.mark.parametrize("what", ["size", "time", "gone", "one less", "resize", "background", "canvas", "shrink"])
def test_what_changed_is_decoded_anew(what: str, pictures: Pictures) -> None:
    before = cache.path_of(pictures, PREPROCESS, False)
    path, preprocess = pictures.path(4), PREPROCESS
    if what == "size":
        stat = path.stat()
        path.write_bytes(path.read_bytes() + b"x")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif what == "time":
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    elif what == "gone":
        path.unlink()
    elif what == "one less":
        pictures = pictures.take(torch.arange(8))
    elif what != "shrink":
        new: dict[str, Any] = {"resize": "pad", "background": (0, 0, 0), "canvas": 20}
        preprocess = replace(PREPROCESS, **{what: new[what]})
    assert cache.path_of(pictures, preprocess, what == "shrink") != before


def test_mean_and_deviation_need_no_new_decoding(pictures: Pictures) -> None:
    other = replace(PREPROCESS, mean=(0.1,) * 3, std=(1.0,) * 3)
    assert cache.path_of(pictures, other, False) == cache.path_of(pictures, PREPROCESS, False)
    smaller = replace(PREPROCESS, size=8, canvas=16)  # of which it shows the middle
    assert cache.path_of(pictures, smaller, False) == cache.path_of(pictures, PREPROCESS, False)


def test_broken_pictures_are_listed_or_left_out(pictures: Pictures) -> None:
    pictures.path(4).write_bytes(b"text")
    for name in ("on_disk", "in_memory"):
        with pytest.raises(BrokenFile, match=f"{pictures.path(4)}: not a picture"):
            getattr(Kept(), name)(pictures, may_shrink=False)
        split, good = getattr(Kept(on_error="skip"), name)(pictures, may_shrink=False)
        assert good.tolist() == [row != 4 for row in range(9)]
        assert split.labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
        assert split.images.shape == (8, 3, 16, 16)
    with pytest.raises(BrokenFile, match=f"{pictures.path(4)}: not a picture"):  # the cache knows what it lacks
        Kept().on_disk(pictures, may_shrink=False)


def test_what_could_not_be_read_for_a_while_is_read_again(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that failed, a permission that was missing: the file itself stays as it was."""
    read = Picture.read

    def failing(path: Path | bytes) -> Picture:
        if path == pictures.file(4):
            raise DataError("Input/output error")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Picture, "read", failing)
        assert len(Kept(on_error="skip").on_disk(pictures, may_shrink=False)[0]) == 8
    for on_error in ("skip", "fail"):
        assert len(Kept(on_error=on_error).on_disk(pictures, may_shrink=False)[0]) == 9


@pytest.mark.parametrize("maker", range(len(cache.MAKERS)))
def test_another_version_of_a_decoder_decodes_anew(
    maker: int, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cache.path_of(pictures, PREPROCESS, False)
    monkeypatch.setattr(cache, "MAKERS", (*cache.MAKERS[:maker], "other", *cache.MAKERS[maker + 1 :]))
    assert cache.path_of(pictures, PREPROCESS, False) != before


def test_an_attempt_that_fails_leaves_nothing(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match=r"No space left on device; set \$CNN_CACHE"):
        Kept().on_disk(pictures, may_shrink=False)
    assert list(cache.folder().iterdir()) == []


@pytest.mark.parametrize(("images", "expected"), [(100, "disk"), (10**9, "off")])
def test_auto_is_off_where_memory_is_too_small(images: int, expected: str) -> None:
    assert cache.choose(images, PREPROCESS) == expected


def test_auto_is_memory_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CNN_CACHE", str(tmp_path / "file" / "below"))
    assert cache.choose(100, PREPROCESS) == "memory"
    monkeypatch.setenv("CNN_CACHE", str(tmp_path))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    assert cache.choose(100, PREPROCESS) == "memory"


def test_canvases_are_those_of_preprocessing(pictures: Pictures) -> None:
    images = Kept().on_disk(pictures, may_shrink=False)[0].images
    expected = np.stack([PREPROCESS.pixels(pictures.path(row)).numpy() for row in range(9)])
    np.testing.assert_array_equal(images.numpy(), expected)
