"""torch.export: a graph that PyTorch runs, without the Python that it was made from."""

import io
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from cnncli.exporting.deployed import Deployed


def encode(deployed: Deployed, metadata: dict[str, str]) -> bytes:
    """Return the content of a file."""
    images = {"image": {0: torch.export.Dim("N", min=1)}}
    program = torch.export.export(deployed, deployed.example(), dynamic_shapes=images)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # lines of Python, with their paths on this machine
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=dict(metadata))
    return content.getvalue()


def opened(path: Path) -> Callable[[Tensor], Tensor]:
    """Return what maps pixels to probabilities by a file."""
    with path.open("rb") as file:
        run: Callable[[Tensor], Tensor] = torch.export.load(file).module()
    return run
