"""Classic convolutional networks on the command line: train, measure, understand."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnncli.checkpoint import Network

__version__ = "0.1.0"


def load(path: str | Path) -> "Network":
    """Read a checkpoint and return its ``model`` (on the CPU), ``classes`` and ``preprocess``.

    ``model(preprocess("image.png"))`` are the logits [1, num_classes]. Raises ``cnncli.errors.CheckpointError``.
    """
    from cnncli.checkpoint import load_network

    return load_network(path)
