"""Batches read by worker processes: the same, whoever reads them, and wherever they begin."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cnncli.datasets import Images, Pictures, Split
from cnncli.datasets.image_folder import ImageFolder
from cnncli.pipeline import Batch, cache
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.decode import Picture
from cnncli.pipeline.loader import Loader, Recipe
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.reading import BrokenFile, list_broken
from cnncli.pipeline.resident import ResidentLoader
from cnncli.pipeline.streaming import StreamingLoader
from cnncli.pipeline.transforms import Transforms
from cnncli.runtime import choose_runtime
from tests.conftest import PictureFolder

PREPROCESS = Preprocess(16, 3, (0.5,) * 3, (0.25,) * 3, canvas=20)
AUGMENT = Augment(shift=2, flip=True, crop=True, rotate=10.0, brightness=0.3, hue=0.1, pca=0.1, erase=0.3, mixup=0.2)
RECIPE = Recipe(PREPROCESS, 7, seed=5, augment=AUGMENT, num_classes=3)
RUNTIME = choose_runtime("cpu")


@pytest.fixture
def pictures(picture_folder: PictureFolder) -> Pictures:
    return ImageFolder(str(picture_folder("train", per_class=6))).load("train")  # 18


def cached(pictures: Pictures) -> cache.Cache:
    return cache.Cache(PREPROCESS, 0, "fail", lambda text: None)


def in_memory(pictures: Pictures) -> Loader:
    return ResidentLoader(cached(pictures).in_memory(pictures, may_shrink=False)[0], RECIPE, RUNTIME)


def on_disk(pictures: Pictures) -> Loader:
    cached(pictures).on_disk(pictures, may_shrink=False)  # which the second call maps
    return ResidentLoader(cached(pictures).on_disk(pictures, may_shrink=False)[0], RECIPE, RUNTIME)


def by_hand(pictures: Pictures) -> Loader:
    canvases = [PREPROCESS.on_canvas(Picture.read(pictures.path(row))) for row in range(len(pictures))]
    return ResidentLoader(Split(torch.stack(canvases), pictures.labels), RECIPE, RUNTIME)


def streamed(workers: int, recipe: Recipe = RECIPE) -> Callable[[Images], Loader]:
    return lambda images: StreamingLoader(images, recipe, RUNTIME, workers)


def assert_equal(ours: Iterable[Batch], theirs: Iterable[Batch]) -> None:
    ours, theirs = list(ours), list(theirs)
    assert len(ours) == len(theirs)
    for one, two in zip(ours, theirs, strict=True):
        assert (one.size, one.counts) == (two.size, two.counts)
        for mine, other in zip(one[:3], two[:3], strict=True):
            assert torch.equal(mine, other)


@pytest.mark.parametrize("made", [in_memory, on_disk, streamed(0), streamed(2)], ids=["memory", "disk", "0", "2"])
def test_resident_streamed_and_cached_batches_are_identical(
    made: Callable[[Pictures], Loader], pictures: Pictures
) -> None:
    """Two epochs, one from its middle, and evaluation; the last batch of 18 images by 7 has 4."""
    ours, expected = made(pictures), by_hand(pictures)
    for epoch, position in ((0, 0), (1, 0), (4, 7), (5, 18)):
        assert_equal(ours.epoch(epoch, position), expected.epoch(epoch, position))
    for canvases in (False, True):
        assert_equal(ours.in_order(canvases), expected.in_order(canvases))
    assert [len(batch.labels) for batch in ours.epoch(6)] == [7, 7, 4]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_left_in_its_middle_can_be_begun_again(workers: int, pictures: Pictures) -> None:
    loader = streamed(workers)(pictures)
    next(iter(loader.epoch(0)))
    assert_equal(loader.epoch(0), by_hand(pictures).epoch(0))
    assert_equal(loader.epoch(3), by_hand(pictures).epoch(3))


def test_workers_read_the_next_epoch_while_one_is_validated(pictures: Pictures) -> None:
    """When the last batch is taken, batches of the next epoch were asked for already."""
    loader = StreamingLoader(pictures, RECIPE, RUNTIME, 2)
    for _ in loader.epoch(0):
        pass
    asked = loader._epochs._asked
    assert {epoch for epoch, _ in asked} <= {1, 2}
    assert len(asked) + (loader._epochs._held is not None) >= 2
    assert_equal(loader.epoch(1), by_hand(pictures).epoch(1))


@pytest.mark.parametrize("workers", [0, 2])
def test_resized_crops_come_from_the_picture_itself(workers: int, pictures: Pictures) -> None:
    """Each by the draws of its row: its box, cut by Pillow, scaled by Pillow's filter to 1 of 255, mirrored or not."""
    augment = Augment(resized_crop=(0.2, 0.9), flip=True)
    recipe = replace(RECIPE, preprocess=Preprocess(16, 3, (0.0,) * 3, (1.0,) * 3), augment=augment)
    loader = streamed(workers, recipe)(pictures)
    plan = recipe.plan(0, pictures.labels)
    for start, batch in zip((0, 7, 14), loader.epoch(0), strict=True):
        draws = plan.draws(start, start + len(batch.labels), augment.num_draws)
        for place, number in enumerate(plan.order[start : start + len(batch.labels)].tolist()):
            picture = Picture.read(pictures.path(number))
            top, left, height, width = (
                augment.boxes(draws[place : place + 1], torch.tensor([40]), torch.tensor([50]))[0]
                .round()
                .int()
                .tolist()
            )
            part = picture.image.convert("RGB").crop((left, top, left + width, top + height)).resize((16, 16), 2)
            expected = torch.frombuffer(bytearray(part.tobytes()), dtype=torch.uint8).view(16, 16, 3).permute(2, 0, 1)
            expected = expected.flip(2) if draws[place, 2] < 0.5 else expected
            seen = (batch.images[place] * 255).round().int()
            torch.testing.assert_close(seen, expected.int(), rtol=0, atol=1)


@pytest.mark.parametrize("workers", [0, 2])
def test_transforms_run_under_the_seed_of_their_row(workers: int, pictures: Pictures) -> None:
    transforms = Transforms([{"name": "RandomErasing", "p": 0.7}, {"name": "RandomHorizontalFlip"}])
    recipe = replace(RECIPE, augment=Augment())
    loader = StreamingLoader(pictures, recipe, RUNTIME, workers, transforms=transforms)
    plan = recipe.plan(2, pictures.labels)
    seeds = plan.seeds(0, 18)
    seen = torch.cat([batch.images for batch in loader.epoch(2)])
    for row, number in enumerate(plan.order.tolist()):
        canvas = transforms(PREPROCESS.on_canvas(Picture.read(pictures.path(number))), int(seeds[row]))
        assert torch.equal(seen[row], PREPROCESS.normalise(canvas[None, :, 2:18, 2:18])[0])
    arrays = Split(
        torch.stack([PREPROCESS.on_canvas(Picture.read(pictures.path(r))) for r in range(18)]), pictures.labels
    )
    assert_equal(StreamingLoader(arrays, recipe, RUNTIME, workers, transforms=transforms).epoch(2), loader.epoch(2))


def test_random_numbers_of_the_network_are_not_touched(pictures: Pictures) -> None:
    before = torch.get_rng_state()
    for _ in streamed(2)(pictures).epoch(0):
        pass
    assert torch.equal(torch.get_rng_state(), before)


def spoil(pictures: Pictures, *rows: int) -> list[str]:
    paths = [pictures.path(row) for row in rows]
    for path in paths:
        path.write_bytes(path.read_bytes()[:200])
    return [str(path) for path in paths]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_an_error_and_all_can_be_listed(workers: int, pictures: Pictures) -> None:
    spoiled = spoil(pictures, 1, 8, 17)
    with pytest.raises(BrokenFile, match=f"({'|'.join(spoiled)}): not a whole picture"):
        list(streamed(workers)(pictures).epoch(0))
    assert [line.partition(": ")[0] for line in list_broken(pictures, PREPROCESS, workers)] == spoiled


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_files_are_left_out_and_counted(workers: int, pictures: Pictures) -> None:
    spoil(pictures, 1, 8, 17)
    loader = StreamingLoader(pictures, RECIPE, RUNTIME, workers, "skip")
    for epoch in (0, 1):
        batches = list(loader.epoch(epoch))
        assert [batch.size for batch in batches] == [7, 7, 4]  # places of the plan
        assert sum(len(batch.labels) for batch in batches) == 15
        assert sum(batch.num_skipped for batch in batches) == 3
    plain = list(loader.in_order())
    assert sum(len(batch.labels) for batch in plain) == 15
    assert sum(batch.num_skipped for batch in plain) == 3
    spoil(pictures, *range(18))
    loader = StreamingLoader(pictures, RECIPE, RUNTIME, workers, "skip")
    for batches in (list(loader.epoch(0)), list(loader.in_order())):
        assert [batch.counts for batch in batches] == [False] * 3  # none left of any
        assert sum(batch.num_skipped for batch in batches) == 18


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_reads_its_part(rank: int, pictures: Pictures) -> None:
    runtime = replace(RUNTIME, rank=rank, world_size=2)
    ours = StreamingLoader(pictures, replace(RECIPE, augment=Augment(flip=True)), runtime, 0)
    whole = StreamingLoader(pictures, replace(RECIPE, augment=Augment(flip=True)), RUNTIME, 0)
    for part, batch in zip(ours.epoch(0), whole.epoch(0), strict=True):
        assert torch.equal(part.images, batch.images[rank::2])
        assert part.size == len(batch.labels)


def test_a_worker_that_dies_is_no_bug_of_ours(tmp_path: Path, picture_folder: PictureFolder) -> None:
    """Killed, as the kernel does where memory is short: exit code 5, and what to try."""
    root, script = picture_folder("train"), tmp_path / "killed.py"
    script.write_text(
        "import os, signal, sys\n"
        "from cnncli.pipeline.reading import Reader\n"
        "Reader._canvas = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from cnncli.cli import main\n"
        f"sys.argv = 'cnn train -c tinyvgg_folder --set data.root={root} --set data.cache=off'.split()"
        " + ['--set', 'data.workers=1', '--set', 'runtime.device=cpu', '--dry-run']\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False
    )
    assert result.returncode == 5, result.stderr
    assert "a process that reads images died" in result.stderr
    assert "data.workers=" in result.stderr
