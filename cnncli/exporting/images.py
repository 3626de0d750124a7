"""Real images, on which a network and its export are compared."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from cnncli.checkpoint import Checkpoint
from cnncli.datasets import SPLITS, Images, Pictures
from cnncli.errors import CheckpointError, DataError
from cnncli.pipeline.preprocess import Preprocess, centred
from cnncli.predicting import find
from cnncli.scoring import experiment_of
from cnncli.text import one_line

MAX_IMAGES = 256


def images_of_run(checkpoint: Checkpoint) -> tuple[str, Tensor]:
    """Return a split that the run did not train on, where there is one, and pixels uint8 [N, C, S, S] from all of it.

    Raises ``DataError`` where the images are gone, or the checkpoint names none.
    """
    instead = "name pictures to compare the network and its export on: --images PATH"
    if not checkpoint.config:
        raise DataError(f"the checkpoint says of no images that it was trained on; {instead}")
    try:
        experiment = experiment_of(checkpoint, device="cpu")
        for split in reversed(SPLITS):
            if images := experiment.splits.load(split):
                return split, _pixels(images, experiment.preprocess)
    except (DataError, CheckpointError) as error:
        raise type(error)(f"{error}\n{instead}") from None
    raise DataError(f"the run's data set holds no images; {instead}")


def pixels_of(paths: Iterable[Path], preprocess: Preprocess) -> Tensor:
    """Return pixels uint8 [N, C, S, S] of pictures, and of those in folders; ``DataError`` if there are none."""
    found = list(find(map(str, paths)))
    if problem := next((each for each in found if each.problem), None):
        raise DataError(f"{one_line(os.fsdecode(problem.path))}: {problem.problem}")
    few = [os.fsdecode(found[number].path) for number in _spread(len(found)).tolist()]
    return torch.stack([preprocess.pixels(file) for file in few])


def _pixels(images: Images, preprocess: Preprocess) -> Tensor:
    """Return pixels of images from all of a split, without those that cannot be read."""
    chosen = images.take(_spread(len(images)))
    if not isinstance(chosen, Pictures):
        return centred(preprocess.fit(chosen.images), preprocess.size)
    pixels = []
    for row in range(len(chosen)):
        with suppress(DataError):
            pixels.append(preprocess.pixels(chosen.path(row)))
    if not pixels:
        raise DataError(f"{chosen.root}: none of the pictures can be read")
    return torch.stack(pixels)


def _spread(count: int) -> Tensor:
    """Return the numbers of at most ``MAX_IMAGES`` things that are spread over ``count``."""
    few = min(count, MAX_IMAGES)
    return torch.arange(few) * count // max(few, 1)
