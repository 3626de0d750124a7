"""Any transform of ``torchvision.transforms.v2``, by name: one image at a time, under the seed of its row.

torchvision is imported where one is asked for: it imports PyTorch's compiler, which takes half as long as torch itself.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cnncli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from torchvision.transforms import v2

# Those that call what they are given, hold other transforms, which no config can name, or are not of one picture.
LEFT_OUT = {
    *("Lambda", "Compose", "RandomApply", "RandomChoice", "RandomOrder", "Transform", "MixUp", "CutMix"),
    *("SanitizeBoundingBoxes", "SanitizeKeyPoints"),
}


def names() -> list[str]:
    """Return the names that a config may use."""
    from torchvision.transforms import v2

    return sorted(
        name
        for name, thing in vars(v2).items()
        if inspect.isclass(thing) and issubclass(thing, v2.Transform) and name not in LEFT_OUT
    )


class Transforms:
    """Transforms in their order, each a mapping of ``name`` and the keywords of torchvision's class.

    Raises ``ValueError`` where a name or a keyword is unknown, or a value will not do.
    """

    def __init__(self, specs: Sequence[Mapping[str, Any]]) -> None:
        self.steps = [_built(dict(spec)) for spec in specs]

    def __call__(self, pixels: Tensor, seed: int) -> Tensor:
        """Transform uint8 [C, H, W] into as many pixels; draws only from a generator that ``seed`` sets.

        Raises ``ConfigError`` where a transform fails, or makes something else.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            result = pixels
            for step in self.steps:
                try:
                    result = step(result)
                except MemoryError:
                    raise
                except Exception as error:  # of torchvision, on an image or a draw that it does not take
                    raise ConfigError(f"the transform {type(step).__name__} failed: {error}") from error
        if not isinstance(result, Tensor) or result.dtype != torch.uint8 or result.shape != pixels.shape:
            made = f"{result.dtype} {list(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            raise ConfigError(
                f"augment.transforms make {made} of uint8 {list(pixels.shape)}; they must keep type and size"
            )
        return result


def _built(spec: dict[str, Any]) -> "v2.Transform":
    from torchvision.transforms import v2

    name = spec.pop("name", None)
    if not isinstance(name, str) or name not in names():
        raise ValueError(f"{name!r} is no transform of torchvision.transforms.v2{did_you_mean(str(name), names())}")
    class_ = getattr(v2, name)
    known = [key for key in inspect.signature(class_.__init__).parameters if key != "self"]
    if unknown := [key for key in spec if key not in known]:
        raise ValueError(f"{name} has no option {unknown[0]}{did_you_mean(unknown[0], known)}")
    try:
        return class_(**spec)
    except Exception as error:  # of torchvision, on values that it does not take
        raise ValueError(f"{name}: {error}") from None
