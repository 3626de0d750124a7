"""Race of loaders on 2,000 JPEGs of 500×400: ``python benchmarks/loading.py``.

Theirs is torchvision's ImageFolder with RandomResizedCrop, a flip and normalisation behind a DataLoader that keeps its
workers; ours gives the same kind of batches, float32 and normalised. In each round every contender is started anew, one
after the other, and timed from its second epoch on: what it had read ahead by then it has read ahead again by the end.
The main process has one thread. Pictures are smooth with a little noise, 50 kB each, as photographs of that size are.
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.transforms import v2

from cnncli.datasets.image_folder import ImageFolder
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.cache import Cache
from cnncli.pipeline.loader import Loader, Recipe
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.resident import ResidentLoader
from cnncli.pipeline.streaming import StreamingLoader
from cnncli.runtime import choose_runtime

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AREA = (0.08, 1.0)  # of a crop, as RandomResizedCrop has it
Contender = Callable[[], Callable[[], Iterator[Any]]]  # starts it, and returns what reads an epoch


def make_pictures(root: Path, number: int) -> None:
    """Write ten classes of pictures."""
    random = np.random.default_rng(0)
    for index in range(number):
        folder = root / "train" / f"class{index % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(random.integers(0, 256, (12, 15, 3), dtype=np.uint8))
        smooth = np.asarray(small.resize((500, 400), Image.Resampling.BICUBIC)).astype(np.float32)
        noisy = (smooth + random.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{index:05}.jpg", quality=90)


def torchvisions(root: Path, size: int, workers: int, batch: int) -> Contender:
    """Return an epoch as torchvision's references have it."""
    steps = [
        v2.RandomResizedCrop(size, scale=AREA, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ]
    folder = datasets.ImageFolder(root / "train", v2.Compose(steps))

    def start() -> Callable[[], Iterator[Any]]:
        loader = DataLoader(folder, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
        return lambda: iter(loader)

    return start


def ours(make: Callable[[], Loader]) -> Contender:
    """Return epochs 0, 1, 2 … of a loader of ours."""

    def start() -> Callable[[], Iterator[Any]]:
        loader, epochs = make(), itertools.count()
        return lambda: loader.epoch(next(epochs))

    return start


def images_a_second(contender: Contender) -> float:
    """Read an epoch, and time the next, or as many as take a second."""
    epoch = contender()
    for _ in epoch():
        pass
    started, images, seconds = time.perf_counter(), 0, 0.0
    while seconds < 1:
        for batch in epoch():
            images += len(batch[0])
        seconds = time.perf_counter() - started
    return images / seconds


def race(contenders: dict[str, Contender], rounds: int) -> dict[str, float]:
    """Return the median images a second of each, over rounds in which all run one after the other."""
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            speeds[name].append(images_a_second(contender))
    return {name: statistics.median(values) for name, values in speeds.items()}


def main() -> None:
    """Make the pictures, and print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--sizes", type=int, nargs="+", default=[227, 64])
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    runtime = choose_runtime("cpu", threads=1)  # the workers have the processors
    with tempfile.TemporaryDirectory() as folder, runtime.guard(options.batch):
        root = Path(folder)
        os.environ["CNN_CACHE"] = folder
        make_pictures(root, options.pictures)
        pictures = ImageFolder(str(root)).load("train")
        for size in options.sizes:
            flipped, cropped = Augment(flip=True), Augment(resized_crop=AREA, flip=True)
            preprocess = Preprocess(size, 3, MEAN, STD)
            recipe = Recipe(preprocess, options.batch, augment=flipped)
            random_crops = Recipe(preprocess, options.batch, augment=cropped)
            keeper = Cache(preprocess, 2, "fail", lambda text: None)
            kept, _ = keeper.in_memory(pictures, may_shrink=True)
            cached, _ = keeper.on_disk(pictures, may_shrink=True)
            contenders = {
                f"torchvision, {n} workers": torchvisions(root, size, n, options.batch) for n in options.workers
            }
            contenders |= {
                f"cnncli, {n} workers": ours(
                    partial(StreamingLoader, pictures, random_crops, runtime, n, may_shrink=True)
                )
                for n in options.workers
            }
            contenders |= {
                "cnncli, cached": ours(partial(ResidentLoader, cached, recipe, runtime)),
                "cnncli, resident": ours(partial(ResidentLoader, kept, recipe, runtime)),
            }
            speeds = race(contenders, options.rounds)
            print(f"\n{options.pictures:,} JPEGs of 500×400 at {size}, medians of {options.rounds} epochs, images/s")
            for name, speed in speeds.items():
                print(f"  {name:24} {speed:10,.0f}")
            best = {
                who: max(s for name, s in speeds.items() if name.startswith(who) and "workers" in name)
                for who in ("torchvision", "cnncli")
            }
            print(f"  best against best        {best['cnncli'] / best['torchvision']:10.2f}")
            print(
                f"  cached against resident  {speeds['cnncli, cached'] / speeds['cnncli, resident']:10.2f}", flush=True
            )


if __name__ == "__main__":
    main()
