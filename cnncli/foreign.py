"""Weights that another program trained: read with care, fitted to a model, made a checkpoint."""

import os
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from cnncli.checkpoint import COMMENT_BYTES, MARK, Checkpoint
from cnncli.config.schema import option_fields
from cnncli.config.validation import validate_options
from cnncli.datasets import MAX_CLASSES
from cnncli.errors import CheckpointError, ConfigError
from cnncli.extras import needed
from cnncli.pipeline.preprocess import Preprocess
from cnncli.registry import MODELS
from cnncli.text import counted, listed, one_line
from cnncli.trust import read_archive

Weights = dict[str, Tensor]
Note = Callable[[str], None]
By = Literal["name", "order"]

WRAPPERS = ("state_dict", "model_state_dict", "model")  # what training programs call the weights among other things
PREFIXES = re.compile(r"((module|_orig_mod)\.)*")  # of DataParallel and torch.compile
IN_LAYER = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")  # as torch has them
ALONE = "save the weights alone, with torch.save(model.state_dict(), FILE)"
MOST_LISTED = 20


def read_weights(path: Path, note: Note) -> Weights:
    """Return the tensors of a safetensors file, or of one that ``torch.save`` wrote, in the order of the layers.

    What was taken off, such as the ``module.`` of all names, is noted. Raises ``CheckpointError`` for any other file,
    ``MachineError`` where safetensors is not installed.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
        if head.startswith(b"PK"):
            weights = _unwrapped(_read_archive(path), note)
        elif head.endswith(b"{"):
            weights = _read_safetensors(path)
        else:
            raise CheckpointError(
                "neither a safetensors file nor one that torch.save writes today; write one that it wrote before 2020"
                " again: torch.save(torch.load(OLD, weights_only=True), NEW)"
            )
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return _without_prefix(weights, note)


def _read_archive(path: Path) -> Any:
    with path.open("rb") as file:  # once: what is checked is what is read
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - COMMENT_BYTES, 0))
        if file.read().startswith(MARK):
            raise CheckpointError("is a checkpoint of cnncli already: use it as it is")
        try:
            return read_archive(file, end)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; {ALONE}") from None
        except Exception as error:  # whatever a stranger's file leads to
            raise CheckpointError(f"cannot be read: {one_line(str(error))[:200]}") from None


def _read_safetensors(path: Path) -> Weights:
    """Return the tensors in the order of layers: the file has them in that of the alphabet, where 10 precedes 2."""
    needed("safetensors", "export")
    from safetensors.torch import load_file

    def place(name: str) -> tuple[list[tuple[int, str]], int, str]:
        layer, _, part = name.rpartition(".")
        words = [word.lstrip("0") if word.isdecimal() else word for word in re.split(r"(\d+)", layer)]
        numbers = [(len(word), word) if odd else (-1, word) for odd, word in zip(cycle((0, 1)), words, strict=False)]
        return numbers, IN_LAYER.index(part) if part in IN_LAYER else -1, part

    try:
        weights = load_file(path)
    except Exception as error:
        raise CheckpointError(f"not a safetensors file: {one_line(str(error))[:200]}") from None
    return {name: weights[name] for name in sorted(weights, key=place)}


def _unwrapped(plain: Any, note: Note) -> Weights:
    """Return the weights among what a training program saved."""
    while isinstance(plain, dict) and (key := next((key for key in WRAPPERS if isinstance(plain.get(key), dict)), "")):
        note(f"the weights are what the file calls {key}; the rest of it is left out")
        plain = plain[key]
    if not isinstance(plain, dict) or not plain:
        raise CheckpointError(f"holds no tensors by name; {ALONE}")
    if strange := [name for name in plain if not (isinstance(name, str) and isinstance(plain[name], Tensor))]:
        kind = type(plain[strange[0]]).__name__
        raise CheckpointError(f"holds {one_line(str(strange[0]))[:80]}, a {kind}, among the weights; {ALONE}")
    return plain


def _without_prefix(weights: Weights, note: Note) -> Weights:
    prefixes = [found[0] for name in weights if (found := PREFIXES.match(name))]
    prefix = min(prefixes, key=len, default="")
    if not prefix or not all(name.startswith(prefix) for name in weights):
        return weights
    note(f"all names begin with {prefix[:80]} in the file, which is left off")
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


@dataclass(frozen=True)
class Target:
    """The model that weights are meant for, with all of its options."""

    model: str
    options: dict[str, Any]

    @classmethod
    def of(cls, model: str, options: dict[str, Any], num_classes: int, size: int | None) -> "Target":
        """Settle the sizes that the model has options for; ``ConfigError`` where they contradict each other."""
        known = option_fields(MODELS.get(model))
        wanted = {"num_classes": num_classes, "image_size": size or options.get("image_size")}
        for key, value in wanted.items():
            if value is not None and options.get(key, value) != value:
                flag = "--classes names" if key == "num_classes" else "--size is"
                raise ConfigError(f"--set {key}={options[key]}: {flag} {value}")
        sizes = {key: value for key, value in wanted.items() if key in known and value is not None}
        return cls(model, validate_options("model", model, options | sizes))

    def parameters(self) -> Weights:
        """Return what the network holds by name, without numbers; ``ConfigError`` where its sizes don't fit."""
        try:
            with torch.device("meta"):
                return MODELS.get(self.model)(**self.options).state_dict()
        except ValueError as error:
            raise ConfigError(f"{self.model}: {error}") from None

    def preprocess(self, size: int | None, mean: list[float], std: list[float], **how: object) -> Preprocess:
        """Return how pictures become what the network sees; one number of ``mean`` and ``std`` is for all channels.

        ``how`` are other fields of it. Raises ``ConfigError`` where the numbers cannot be.
        """
        channels: int = self.options.get("in_channels", 3)
        size = size or self.options.get("image_size")
        if size is None:
            raise ConfigError(f"{self.model} takes images of any size; say which with --size")
        each = {"mean": mean * channels if len(mean) == 1 else mean, "std": std * channels if len(std) == 1 else std}
        for key, numbers in each.items():
            if len(numbers) != channels:
                raise ConfigError(f"--{key}: {len(numbers)} numbers, but the network takes {channels} channels")
        try:
            return Preprocess.from_dict({"size": size, "channels": channels, **each, **how})
        except ValueError as error:
            raise ConfigError(f"these images cannot be: {error}") from None


def match(target: Target, weights: Weights, by: By) -> dict[str, str]:
    """Return for each parameter of a model the name that its tensor has among the weights.

    In ``order``, the k-th tensor of a shape is that of the k-th parameter of the shape. ``CheckpointError`` lists all
    that does not fit.
    """
    pairs, misfits = _matched(target, weights, by)
    if misfits:
        hints = (hint for other, how, hint in _alternatives(target, weights, by) if _fits(other, weights, how))
        raise CheckpointError("\n".join([f"the weights do not fit {target.model}:", *misfits, *islice(hints, 1)]))
    return pairs


def _matched(target: Target, weights: Weights, by: By) -> tuple[dict[str, str], list[str]]:
    """Return the pairs, and a line for each thing that does not fit."""
    wanted = _needed_of(target.parameters(), weights)
    pairs = by_name(wanted, weights) if by == "name" else in_order(wanted, weights)
    return pairs, _misfits(wanted, weights, pairs)


def _fits(target: Target, weights: Weights, by: By) -> bool:
    try:
        return not _matched(target, weights, by)[1]
    except ConfigError:  # there is no such network
        return False


def by_name(wanted: Weights, given: Weights) -> dict[str, str]:
    """Return the pairs of the same name."""
    return {name: name for name in wanted if name in given}


def in_order(wanted: Weights, given: Weights) -> dict[str, str]:
    """Return the k-th of those given for the k-th of those wanted, among those of one shape."""
    waiting: dict[Any, deque[str]] = defaultdict(deque)
    for name, tensor in given.items():
        waiting[_outline(tensor)].append(name)
    return {name: waiting[key].popleft() for name, tensor in wanted.items() if waiting[key := _outline(tensor)]}


def checkpoint_of(
    target: Target, classes: list[str], preprocess: Preprocess, weights: Weights, pairs: dict[str, str], note: Note
) -> Checkpoint:
    """Return the checkpoint of a network that no run of ours trained: it names no images and cannot be trained on.

    Its numbers are the model's kind, float32, which is noted where they were another. Raises ``CheckpointError`` where
    some are not finite.
    """
    parameters = target.parameters()
    own = {name: _converted(weights[theirs], parameters[name].dtype) for name, theirs in pairs.items()}
    own |= {name: torch.zeros_like(parameters[name], device="cpu") for name in parameters if name not in own}
    if strange := [pairs[name] for name, tensor in own.items() if not tensor.isfinite().all()]:
        raise CheckpointError(f"numbers that are not finite, or not in float32: in {listed(strange[:MOST_LISTED])}")
    converted = [weights[theirs].dtype for name, theirs in pairs.items() if weights[theirs].dtype != own[name].dtype]
    if converted:
        kinds = ", ".join(sorted({str(kind).removeprefix("torch.") for kind in converted}))
        note(f"converted to float32: {counted(len(converted), 'tensor')} of {kinds}")
    return Checkpoint(
        model=target.model,
        options=target.options,
        weights={name: own[name] for name in parameters},
        classes=classes,
        preprocess=preprocess.to_dict(),
        config={},
        state={},
    )


def _needed_of(parameters: Weights, weights: Weights) -> Weights:
    """Leave out the counts of batches, which only training reads, where the weights are from before there were any."""
    counts = "num_batches_tracked"
    if any(name.endswith(counts) for name in weights):
        return parameters
    return {name: tensor for name, tensor in parameters.items() if not name.endswith(counts)}


def _misfits(wanted: Weights, given: Weights, pairs: dict[str, str]) -> list[str]:
    taken = set(pairs.values())
    missing = [f"{name} {_shape(tensor)}" for name, tensor in wanted.items() if name not in pairs]
    unexpected = [f"{one_line(name)} {_shape(tensor)}" for name, tensor in given.items() if name not in taken]
    shapes = [
        f"{name} is {_shape(given[theirs])} in the file, not {_shape(wanted[name])}"
        for name, theirs in pairs.items()
        if _outline(given[theirs]) != _outline(wanted[name])
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    return [line for what, found in kinds.items() for line in _lines(what, found)]


def _lines(what: str, found: list[str]) -> list[str]:
    more = [f"{len(found) - MOST_LISTED:,} more"] if len(found) > MOST_LISTED else []
    return [f"  {what}: {text}" for text in [*found[:MOST_LISTED], *more]]


def _alternatives(target: Target, weights: Weights, by: By) -> Iterable[tuple[Target, By, str]]:
    """Return how else weights could be matched, to a model of which sizes, and what a user does for that."""
    own = target.options
    if by == "name":
        yield target, "order", "their shapes fit, if not their names: --match order"
    for channels in sorted({1, 3} - {own.get("in_channels")}) if "in_channels" in own else ():
        hint = f"they are of images with {counted(channels, 'channel')}: --set in_channels={channels}"
        yield Target(target.model, own | {"in_channels": channels}), by, hint
    heads = dict.fromkeys(len(tensor) for tensor in reversed(weights.values()) if tensor.ndim)  # the last first
    for count in islice(heads, 8) if "num_classes" in own else ():
        if 0 < count <= MAX_CLASSES and count != own["num_classes"]:
            hint = f"they tell {count:,} classes apart, but --classes names {own['num_classes']:,}"
            yield Target(target.model, own | {"num_classes": count}), by, hint


def _outline(tensor: Tensor) -> tuple[bool, torch.Size]:
    return tensor.is_floating_point(), tensor.shape


def _shape(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f"{str(tensor.dtype).removeprefix('torch.')} "
    return f"{kind}{list(tensor.shape)}"


def _converted(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return numbers of their own: what a stranger's tensor is a view of would be saved along with it."""
    return torch.empty(tensor.shape, dtype=dtype).copy_(tensor)
