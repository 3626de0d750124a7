"""The sizes that images take on their way through a network."""

import torch
from torch import Tensor, nn

from cnncli.registry import MODELS


def on_meta(name: str, **options: object) -> nn.Module:
    """Build a registered model whose tensors have shapes and no numbers."""
    with torch.device("meta"):
        return MODELS.get(name)(**options)


def leaves(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that hold no others, by their names."""
    return {name: layer for name, layer in model.named_modules() if not list(layer.children())}


def maps(model: nn.Module, *image: int, kinds: tuple[str, ...] = ()) -> list[tuple[int, ...]]:
    """Send an image [C, H, W] through a model on meta; return what its layers (of ``kinds``) make of it."""
    seen: list[tuple[int, ...]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not kinds or type(layer).__name__ in kinds:
            seen.append(tuple(output.shape[1:]))

    for layer in leaves(model).values():
        layer.register_forward_hook(note)
    model(torch.empty(1, *image, device="meta"))
    return seen
