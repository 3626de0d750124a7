"""Weights that training leaves as they are."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from cnncli.errors import did_you_mean


def freeze(model: nn.Module, patterns: Iterable[str]) -> list[str]:
    """Have the parameters that ``patterns`` name not trained, and return their names.

    A pattern is the name of a parameter or of what holds it, such as ``features``, and may have the signs of file
    names, such as ``layer[12].*.bn?``. Raises ``ValueError`` for one that names nothing, and where nothing is trained.
    """
    parameters, frozen = dict(model.named_parameters()), set[str]()
    for pattern in patterns:
        named = {name for name in parameters if any(fnmatchcase(part, pattern) for part in _around(name))}
        if not named:
            depth = pattern.count(".")
            known = {part for name in parameters for part in _around(name) if part.count(".") == depth}
            raise ValueError(f"{pattern!r} names no parameters{did_you_mean(pattern, known)}")
        frozen |= named
    for name in frozen:
        parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ValueError("leaves nothing to train")
    return [name for name in parameters if name in frozen]


def begin_training(model: nn.Module) -> None:
    """Put a model in training mode, but for batch normalisation that is frozen: its statistics stay, too."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            for layer in module.modules():
                if isinstance(layer, _BatchNorm):
                    layer.eval()


def _around(name: str) -> list[str]:
    """Return a name and those of the modules around it: features.0.weight, features.0, features."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
