"""Drawn shapes in colour on noisy grounds: a data set that needs neither a file nor a network."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from cnncli.datasets import Split, SplitName
from cnncli.registry import DATASETS

TAU = 2 * np.pi
NUM_IMAGES: dict[SplitName, int] = {"train": 10_000, "test": 2_000}
CHUNK = 20  # images drawn together from one generator: their planes fit in the cache; part of what a seed means
TEXELS, REACH = 128, 1.2  # a side of a shape's distance map, and the half side in the shape's radii
CELLS = 64  # of noise a side, whatever the size, so that one seed shows the same pictures at every size

RANGES = {  # of what is drawn evenly for each image: lengths in half sides of the image, colours from 0 to 1
    "x": (-0.2, 0.2),
    "y": (-0.2, 0.2),
    "radius": (0.5, 0.8),
    "turn": (-0.4, 0.4),  # radians
    "stretch": (-0.1, 0.1),  # log of how much wider, and as much lower
    "sign": (-1.0, 1.0),  # above 0 the shape is light and its ground dark
    "depth": (0.0, 0.3),  # of the ground, away from medium grey
    "contrast": (0.35, 0.5),  # always visible: the noise below is shared by shape and ground
    "hue": (0.0, TAU),
    "ground_hue": (0.0, TAU),
    "line_x": (-0.8, 0.8),
    "line_y": (-0.8, 0.8),
    "line_turn": (0.0, TAU),
    "line_bend": (-0.5, 0.5),
    "line_strength": (0.2, 0.5),  # of the shape's contrast
}
CHROMA, CLOUDS, GRAIN, LINE = 0.15, 0.25, 0.3, 0.05  # amplitude of hues, spans of coarse and fine noise, half width

Drawn = dict[str, Tensor]  # what RANGES names, each [B, 1]
Outline = NDArray[np.complex128]  # corners x + iy in radii, y down


def polygon(corners: int) -> Outline:
    """Place corners on the unit circle, the first on top."""
    outline: Outline = np.exp(1j * (np.arange(corners) / corners - 0.25) * TAU)
    return outline


ROUND = 1j * polygon(48)  # from the right, by 7.5 degrees
HORNS = ROUND[6:43], 0.732 * ROUND[37:10:-1] + 0.518  # of the crescent: both arcs meet at sqrt(1/2) * (1 ± i)
WAVES = 13 * ROUND.real - 5 * (ROUND**2).real - 2 * (ROUND**3).real - (ROUND**4).real  # the usual heart, of radius 16
CORNER = np.array([0.33 - 0.92j, 0.33 - 0.33j, 0.92 - 0.33j])  # of the cross, upper right
ARROW = np.array([1, 0.2 + 0.75j, 0.2 + 0.3j, -0.95 + 0.3j, -0.95 - 0.3j, 0.2 - 0.3j, 0.2 - 0.75j])
OUTLINES: dict[str, list[Outline]] = {  # a second outline is a hole
    "circle": [0.85 * ROUND],
    "ring": [0.92 * ROUND, 0.5 * ROUND],
    "crescent": [np.concatenate(HORNS) + 0.15],
    "triangle": [polygon(3)],
    "square": [polygon(4)],
    "pentagon": [polygon(5)],
    "star": [polygon(10) * np.tile([1, 0.45], 5)],
    "cross": [np.concatenate([CORNER * 1j**quarter for quarter in range(4)])],
    "heart": [ROUND.imag**3 - 1j * (WAVES + 2) / 16],
    "arrow": [ARROW],
}


@DATASETS.register
class Shapes:
    """Ten shapes of random place, size, turn and colour, light on dark or dark on light, with a stray line.

    An image depends on the seed, its split and its number alone: ``limit`` and the number of threads change nothing.
    """

    classes: tuple[str, ...] = tuple(OUTLINES)
    channels = 3
    mean: tuple[float, ...] = (0.496, 0.500, 0.499)  # of the training images at the defaults
    std: tuple[float, ...] = (0.244, 0.244, 0.244)
    splits: tuple[SplitName, ...] = ("train", "test")

    def __init__(
        self,
        size: Annotated[int, Field(ge=16, le=512, description="pixels a side")] = 64,
        seed: Annotated[int, Field(ge=0, description="of all that is drawn at random")] = 0,
    ) -> None:
        self.image_size = size
        self.seed = seed

    def load(self, split: SplitName, limit: int | None = None) -> Split:
        """Draw one split, the classes taking turns; at most the first ``limit`` images of each class."""
        num_images = min(NUM_IMAGES[split], len(self.classes) * (NUM_IMAGES[split] if limit is None else limit))
        images = torch.empty(num_images, self.channels, self.image_size, self.image_size, dtype=torch.uint8)
        labels = torch.arange(num_images) % len(self.classes)
        distances()  # measured before the threads ask for it, so that it is measured once

        def fill(chunk: int, images: Tensor, labels: Tensor) -> None:
            rng = np.random.default_rng((self.seed, self.splits.index(split), chunk))
            images.copy_(draw(rng, labels, self.image_size))

        num_threads = torch.get_num_threads()
        torch.set_num_threads(1)  # in each of ours: a chunk is the same to the bit, however many there are
        try:
            with ThreadPoolExecutor(num_threads) as pool:
                list(pool.map(fill, count(), torch.split(images, CHUNK), torch.split(labels, CHUNK)))
        finally:
            torch.set_num_threads(num_threads)
        return Split(images, labels)


def draw(rng: np.random.Generator, labels: Tensor, size: int) -> Tensor:
    """Draw one image a label: [B, 3, size, size], from 0 to 255."""
    low, high = np.array(list(RANGES.values())).T
    table = rng.uniform(low, high, size=(CHUNK, len(RANGES)))[: len(labels)]
    of = dict(zip(RANGES, torch.from_numpy(table).float()[:, :, None].unbind(dim=1), strict=True))
    sign = of["sign"].sign()
    thirds = torch.arange(3) * (TAU / 3)
    ground = 0.5 - sign * of["depth"] + CHROMA * (of["ground_hue"] + thirds).cos()  # [B, 3]
    colour = sign * of["contrast"] + CHROMA * (of["hue"] + thirds).cos()  # what the shape adds to its ground
    ink = shape(of, labels, size).maximum(line(of, size))
    return noisy(rng, ground, size).addcmul_(ink, 255 * colour[:, :, None, None]).clamp_(0, 255)


def noisy(rng: np.random.Generator, ground: Tensor, size: int) -> Tensor:
    """Spread the colours [B, 3] over images [B, 3, size, size], and add clouds and grain."""
    clouds = rng.integers(256, size=(CHUNK, 3, 4, 4), dtype=np.uint8)[: len(ground)]
    grain = rng.integers(256, size=(len(ground), 3, CELLS, CELLS), dtype=np.uint8)  # the last draw: it may be cut short
    middle = (255 * ground - 127.5 * (CLOUDS + GRAIN))[:, :, None, None]
    cells = interpolate(torch.from_numpy(clouds) * CLOUDS + middle, CELLS, mode="bilinear")
    cells.add_(torch.from_numpy(grain), alpha=GRAIN)
    return cells if size == CELLS else interpolate(cells, size, mode="bilinear", antialias=True)


def shape(of: Drawn, labels: Tensor, size: int) -> Tensor:
    """Tell how much of each pixel its shape covers: [B, 1, size, size], from 0 to 1."""
    width, height = (REACH * of["radius"] * (sign * of["stretch"]).exp() for sign in (1, -1))
    texels = torch.view_as_real(frame(of, "", size, width, height))
    distance = grid_sample(distances()[labels], texels, padding_mode="border", align_corners=False)
    return distance.mul_(of["radius"][:, :, None, None] * (-size / 2)).add_(0.5).clamp_(0, 1)  # a pixel's soft edge


def line(of: Drawn, size: int) -> Tensor:
    """Draw a parabola, fainter than the shapes: [B, 1, size, size], from 0 to 1."""
    seen = frame(of, "line_", size)
    aside = (seen.real - of["line_bend"][:, :, None] * seen.imag.square()).abs_()
    return (LINE - aside).mul_(size / 2).add_(0.5).clamp_(0, 1).mul_(of["line_strength"][:, :, None])[:, None]


def frame(of: Drawn, what: str, size: int, width: Tensor | float = 1.0, height: Tensor | float = 1.0) -> Tensor:
    """Tell where each pixel lies as a thing of this width and height sees it: x + iy, [B, size, size]."""
    centres = (torch.arange(size) + 0.5) * (2 / size) - 1
    back = torch.exp(-1j * of[what + "turn"])  # complex numbers turn by a product, and add up fast
    columns = (centres - of[what + "x"]) / width * back
    rows = (centres - of[what + "y"]) / height * back * 1j
    return columns[:, None] + rows[:, :, None]


@cache
def distances() -> Tensor:
    """Measure from each texel to the outline of each shape, negative inside: [10, 1, TEXELS, TEXELS] in radii."""
    axis = ((np.arange(TEXELS) + 0.5) * 2 / TEXELS - 1) * REACH
    point = (axis + 1j * axis[:, None])[:, :, None]
    maps = []
    for outlines in OUTLINES.values():
        start = np.concatenate(outlines)
        end = np.concatenate([np.roll(outline, -1) for outline in outlines])
        edge = end - start
        seen = (point - start) / edge  # in the edge's own frame it runs from 0 to 1
        distance = (abs(seen - seen.real.clip(0, 1)) * abs(edge)).min(axis=-1)
        crossed = ((start.imag > point.imag) != (end.imag > point.imag)) & ((seen.imag > 0) == (edge.imag > 0))
        inside = crossed.sum(axis=-1) % 2 == 1  # a ray to the right crosses the outline an odd number of times
        maps.append(np.where(inside, -distance, distance))
    return torch.from_numpy(np.stack(maps)[:, None]).float()
