"""safetensors: the weights alone, by name, for programs that build the network themselves."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from cnncli.exporting.deployed import Deployed
from cnncli.extras import needed


def encode(deployed: Deployed, metadata: dict[str, str]) -> bytes:
    """Return the content of a file."""
    weights = deployed.model.state_dict()
    apart = {name: weight.clone(memory_format=torch.contiguous_format) for name, weight in weights.items()}
    content: bytes = needed("safetensors.torch", "export").save(apart, metadata)
    return content


def opened(path: Path, deployed: Deployed) -> Callable[[Tensor], Tensor]:
    """Return what maps pixels to probabilities: the network with a file's weights in place of its own."""
    other = copy.deepcopy(deployed)
    other.model.load_state_dict(needed("safetensors.torch", "export").load_file(path))
    return other
