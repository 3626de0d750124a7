"""A figure becomes a PNG, and what is written in it stays harmless."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from cnncli import files
from cnncli.errors import ConfigError
from cnncli.text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by all kinds of sight.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def check_picture(path: Path) -> None:
    """Raise ``ConfigError`` where no PNG can be written, before what it is to show is computed."""
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--output {path}: the picture is a PNG: say a file whose name ends in .png")
    files.check_target(path)


def write_picture(figure: "Figure", path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with warnings.catch_warnings(), files.whole(path) as file:
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a name in letters that the font lacks
        figure.savefig(file, format="png", metadata={"Software": "cnncli"})


def plain(name: str) -> str:
    """Keep matplotlib from reading a formula into a name, a long one from filling the picture, odd signs from both."""
    name = one_line(name)
    end = name if len(name) <= 40 else "…" + name[-39:]
    return end.replace("$", r"\$")
