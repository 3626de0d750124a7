"""A sheet of small pictures: what a network sees of its training images."""

from pathlib import Path
from typing import TYPE_CHECKING

from cnncli.errors import ConfigError
from cnncli.pages.picture import plain

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = 8


def draw_contact_sheet(images: "Tensor", captions: list[str], title: str, path: Path) -> None:
    """Draw images float [B, C, H, W] from 0 to 1, each with its caption, and write a PNG."""
    from matplotlib.figure import Figure

    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise ConfigError(f"{path}: the sheet is a PNG, so its name ends in .png, in a folder that exists")
    rows = -(-len(images) // COLUMNS)
    figure = Figure(figsize=(12, 0.5 + 1.7 * rows), layout="constrained")
    figure.suptitle(title)
    for axes in (grid := figure.subplots(rows, COLUMNS, squeeze=False)).flat:
        axes.set_axis_off()
    for axes, image, caption in zip(grid.flat, images, captions, strict=False):
        pixels = image.permute(1, 2, 0) if len(image) == 3 else image.mean(0)  # grey, or channels that are no colours
        axes.imshow(pixels.clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(plain(caption), fontsize=8)
    figure.savefig(path, format="png", dpi=110, metadata={"Software": "cnncli"})
