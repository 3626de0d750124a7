"""A network as it is used without cnncli: pixels in, probabilities out, and what one has to know of it."""

import json

import torch
from torch import Tensor, nn

from cnncli import __version__
from cnncli.checkpoint import Checkpoint
from cnncli.history import row_of_weights
from cnncli.pipeline.preprocess import Preprocess


class Deployed(nn.Module):
    """A checkpoint's network between its preprocessing and softmax, on the CPU."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        preprocess = Preprocess.from_dict(checkpoint.preprocess)
        self.image_shape = (preprocess.channels, preprocess.size, preprocess.size)
        self.model = checkpoint.build()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(preprocess.std).view(-1, 1, 1))
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Map pixels uint8 [N, C, S, S] to probabilities float32 [N, num_classes]."""
        logits: Tensor = self.model((image.float() / 255 - self.mean) / self.std)
        return logits.softmax(1)

    def example(self) -> tuple[Tensor]:
        """Return what the network is traced with: two images, since PyTorch takes one for a size that stays."""
        return (torch.zeros(2, *self.image_shape, dtype=torch.uint8),)


def metadata_of(checkpoint: Checkpoint) -> dict[str, str]:
    """Return what a file says of the network that it holds; ``classes`` and ``preprocess`` are JSON."""
    metadata = {
        "model": checkpoint.model,
        "options": json.dumps(checkpoint.options),
        "classes": json.dumps(checkpoint.classes),
        "preprocess": json.dumps(checkpoint.preprocess),
        "cnncli": __version__,
    }
    row = row_of_weights(checkpoint.history, checkpoint.state) or {}
    for split in ("val", "test"):
        if scores := row.get(split):
            metadata[f"{split}_accuracy"] = str(scores["accuracy"])
    return metadata
