"""The losses of a learning rate range test, as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnncli.pages.picture import COLOURS, plain, write_picture

if TYPE_CHECKING:
    from cnncli.lr_finding import LossCurve


def draw_lr_range(curve: "LossCurve", name: str, path: Path) -> None:
    """Draw losses over their learning rates, as they were and smoothed, mark the suggestion, and write a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.lrs, curve.losses, color=COLOURS[0], alpha=0.3, label="of each batch")
    axes.plot(curve.lrs, curve.smoothed, color=COLOURS[0], label="smoothed")
    if (suggestion := curve.suggestion) is not None:
        loss = np.interp(suggestion, curve.lrs, curve.smoothed)
        axes.axvline(suggestion, color=COLOURS[1], linewidth=1, linestyle=":")
        axes.plot(suggestion, loss, "o", color=COLOURS[1], label=f"suggestion, lr {suggestion:.2g}")
    low, high = min(curve.smoothed), max(curve.smoothed[0], *curve.losses[:10])
    room = (high - low) or 1.0
    axes.set_ylim(low - 0.1 * room, high + 0.2 * room)  # what diverges leaves the picture
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title(plain(name))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    write_picture(figure, path)
