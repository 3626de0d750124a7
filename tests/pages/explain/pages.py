"""Pages of ``cnn explain`` for tests: small networks with random weights, and pictures that are smooth."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.analysis.explanation import Explanation, explain
from cnncli.checkpoint import Checkpoint
from cnncli.pages.explain import page_of
from cnncli.registry import MODELS

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZES = {
    "lenet5": (1, 28),
    "lenet5_1998": (1, 28),
    "basic_cnn": (1, 28),
    "tinyvgg": (3, 32),
    "alexnet": (3, 67),
    "torchvision/resnet18": (3, 32),
    "torchvision/googlenet": (3, 32),
}  # channels and pixels a side of the images, as few as go with each network


@dataclass(frozen=True)
class Written:
    """A page, and what it was written of."""

    model: nn.Module
    images: Tensor  # [B, C, H, W], as the network sees them
    explanation: Explanation
    html: str


@cache
def written(
    name: str = "lenet5",
    *,
    classes: tuple[str, ...] = (),
    num_images: int = 1,
    labels: tuple[int | None, ...] = (),
    units: int | None = None,
    cam: bool = False,
    options: tuple[tuple[str, Any], ...] = (),
) -> Written:
    """Return the page of a network of the registry; with ``classes``, it tells as many apart as there are names.

    ``labels`` are the true classes of the first images, by number; ``options`` are the network's, by name.
    """
    channels, size = SIZES[name]
    sizes: dict[str, Any] = {"image_size": size, "in_channels": channels, "num_classes": len(classes) or 10}
    torch.manual_seed(0)
    model = MODELS.get(name)(**sizes, **dict(options))
    return written_of(model, pictures(num_images, channels, size), classes, labels, units, cam, name)


def written_of(
    model: nn.Module,
    images: Tensor,
    classes: Sequence[str] = (),
    labels: Sequence[int | None] = (),
    units: int | None = None,
    cam: bool = False,
    name: str = "net",
) -> Written:
    """Return the page of any network; what starts as zeros and ones, where mistakes hide, is drawn anew."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() == 1 and parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    names = [f"picture-{number}.png" for number in range(len(images))]
    known = [*labels, *[None] * (len(images) - len(labels))]
    explanation = explain(model.eval(), images, names, known, units, cam)
    channels, size = images.shape[1], images.shape[2]
    checkpoint = Checkpoint(
        model=name,
        options={},
        weights={},
        classes=list(classes) or [f"class {number}" for number in range(explanation.parts[-1].shape[0])],
        preprocess={"size": size, "channels": channels, "mean": [0.5] * channels, "std": [0.25] * channels},
        config={},
        state={},
    )
    return Written(model, images, explanation, page_of(explanation, checkpoint, "best.pt"))


def pictures(num_images: int, channels: int, size: int) -> Tensor:
    """Return smooth images [B, C, size, size], with numbers on both sides of zero."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(num_images, channels, 7, 7, generator=generator)
    return F.interpolate(coarse, (size, size), mode="bicubic").clamp(-2, 2)


def opened(page: "Page", folder: Path, page_written: Written, route: str = "") -> "Page":
    """Have Chromium open a page at a route such as ``#conv1/3``, and wait until it has been drawn."""
    path = folder / "explain.html"
    path.write_text(page_written.html, encoding="utf-8")
    page.goto(path.as_uri() + route)
    page.wait_for_selector("html[data-ready]", state="attached")  # wait_for_function needs eval
    return page


def moved(page: "Page", route: str) -> "Page":
    """Follow a link within a page that is open, and wait until what it leads to has been drawn."""
    page.evaluate("route => { location.hash = route; }", route)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    return page
