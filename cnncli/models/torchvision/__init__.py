"""The classification models of torchvision, a family: ``torchvision/resnet18`` and some eighty more."""

import inspect
import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision import models

from cnncli.models import NumClasses, Side
from cnncli.models.torchvision.weights import Published

Colour = Annotated[Literal[3], Field(description="channels of an image: red, green and blue")]


def names() -> list[str]:
    """Return the names within the family, sorted."""
    return sorted(models.list_models(module=models))


def named(name: str) -> Callable[..., nn.Module]:
    """Return what builds a model; the keywords of its signature are the model's options."""
    published = Published(name)
    usual = published.usual.size

    def build(num_classes: NumClasses = 1000, in_channels: Colour = 3, image_size: Side = usual) -> nn.Module:
        given = {"num_classes": num_classes, **_sizes(name, image_size)}
        try:
            with _NumbersOnCPU() if name.startswith("regnet") else nullcontext():
                model: nn.Module = models.get_model(name, weights=None, **given)
            if image_size != usual and next(model.parameters()).is_meta:  # where it costs nothing to try
                _try(model, image_size)
        except (AssertionError, ValueError) as error:
            why = " ".join(str(error).split())
            raise ValueError(f"it does not take images of {image_size}×{image_size}: {why}") from None
        return model

    build.__doc__ = _about(name)
    vars(build).update(published=published, num_parameters=published.num_parameters)
    return build


def _try(model: nn.Module, image_size: int) -> None:
    """Raise ``ValueError`` where a network on the meta device does not take images of a size."""
    try:
        model.eval()(torch.empty(1, 3, image_size, image_size, device="meta"))
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    model.train()


def _sizes(name: str, image_size: int) -> dict[str, Any]:
    """Return what torchvision wants to be told besides: of sizes, and that there be logits and nothing else."""
    match name.partition("_")[0]:
        case "vit":
            return {"image_size": image_size}
        case "maxvit":
            return {"input_size": (image_size, image_size)}
        case "googlenet" | "inception":  # which warn where the first weights are left open
            return {"aux_logits": False, "init_weights": True}
    return {}


def _about(name: str) -> str:
    """Return the first sentence of torchvision's own words: a name, and the paper it is from, without its address."""
    said, _, _ = (inspect.getdoc(models.get_model_builder(name)) or "").partition("\n\n")
    said = re.sub(r"`([^`<]*?)\s*<[^>]*>`_*", r"\1", " ".join(said.split()))
    return re.sub(r"^Constructs an? | model| architecture| paper|\.$", "", said)


class _NumbersOnCPU(TorchFunctionMode):
    """Has RegNet, which reads its widths from tensors, find numbers in them where all others are on the meta device."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if function in (torch.arange, torch.tensor):
            given["device"] = "cpu"
        return function(*args, **given)
