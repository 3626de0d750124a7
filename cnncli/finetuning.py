"""Fine-tuning: a network that begins with the weights of a checkpoint, and learns faster in its head."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cnncli.checkpoint import Checkpoint, load
from cnncli.config.schema import Config, Model
from cnncli.errors import CheckpointError
from cnncli.pipeline.preprocess import Preprocess
from cnncli.registry import MODELS
from cnncli.text import listed, one_line

SIZES = ("num_classes", "in_channels", "image_size")  # options that are the data's
DRAWN_BY = ("validation", "test", "classes", "limit")  # what decides which images are held out, with the seed
SHOWN = 10  # names in a list, at most


def initial_checkpoint(model: Model) -> Checkpoint | None:
    """Read what ``model.init_from`` names; ``CheckpointError`` where it cannot be read, or is of another model."""
    if model.init_from is None:
        return None
    checkpoint = load(model.init_from)
    if checkpoint.model != model.name:
        raise CheckpointError(
            f"{model.init_from} is a checkpoint of model {one_line(checkpoint.model)}, not of {model.name};"
            " name that one in model.name, or begin with another checkpoint"
        )
    return checkpoint


def fitting_weights(
    checkpoint: Checkpoint, model: Model, classes: Sequence[str], note: Callable[[str], None]
) -> dict[str, Tensor]:
    """Return the weights that fit a network by name and shape; say which of its weights are drawn anew, and why.

    The rows of the head are those of their classes: they are put in the order of ``classes``, or where those have other
    names, the head is drawn anew. Raises ``CheckpointError`` if nothing but the head fits.
    """
    head, other_classes = head_of(model), _difference(classes, checkpoint.classes)
    fitting, anew = _compared(checkpoint, model, dict.fromkeys(head, other_classes) if other_classes else {})
    differing = _differing(model.options, checkpoint.options)
    if anew and fitting.keys() <= head:  # which is of no use without what it stands on
        raise CheckpointError(f"{model.init_from}: none of its weights fits {model.name}: {differing or _told(anew)}")
    unused = [name for name in checkpoint.weights if name not in fitting and name not in anew]
    note(
        f"taken from {model.init_from}: {len(fitting)} of {len(fitting) + len(anew)} tensors"
        + (f"; anew: {_told(anew)}" if anew else "")
        + (f"; not used: {_first(unused)}" if unused else "")
    )
    if differing:
        note(f"warning: it was trained with other options: {differing}")
    if not other_classes and list(classes) != checkpoint.classes:
        number = {name: row for row, name in enumerate(checkpoint.classes)}
        rows = torch.tensor([number[name] for name in classes])
        fitting |= {name: fitting[name][rows] for name in head & fitting.keys()}
        note("its classes have another order than those here; the rows of its head are matched to them by name")
    return fitting


def _compared(
    checkpoint: Checkpoint, model: Model, renewed: Mapping[str, str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the weights that fit, and why the others of the network do not, or are ``renewed`` though they might."""
    with torch.device("meta"):
        network = MODELS.get(model.name)(**model.options)
    fitting: dict[str, Tensor] = {}
    anew: dict[str, str] = {}
    for name, here in network.state_dict().items():
        there = checkpoint.weights.get(name)
        if name in renewed:
            anew[name] = renewed[name]
        elif there is None or (there.shape, there.is_floating_point()) != (here.shape, here.is_floating_point()):
            anew[name] = f"{list(here.shape)} here, {'absent' if there is None else list(there.shape)} there"
        else:
            fitting[name] = there
    return fitting, anew


def head_of(model: Model) -> set[str]:
    """Return the names of the tensors that have a row for each class: those of the last layer."""
    network, num_classes = MODELS.get(model.name), model.options["num_classes"]
    other_number = num_classes - 1 or 2
    with torch.device("meta"):
        here = network(**model.options).state_dict()
        other = network(**{**model.options, "num_classes": other_number}).state_dict()
    return {name for name in here if (*here[name].shape[:1], *other[name].shape[:1]) == (num_classes, other_number)}


def parameter_groups(network: nn.Module, config: Config) -> list[dict[str, Any]]:
    """Return what is trained as an optimizer takes it: together, or the head, and the rest at ``backbone_lr``.

    Raises ``ConfigError`` where one of the two has nothing to train.
    """
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    if (backbone_lr := config.optimizer.backbone_lr) is None:
        return [{"params": list(trained.values())}]
    head = head_of(config.model)
    groups = [[p for name, p in trained.items() if (name in head) == wanted] for wanted in (True, False)]
    if not all(groups):
        idle = "all but the head" if groups[0] else f"the head of {config.model.name}"
        raise config.error(("optimizer", "backbone_lr"), f"{idle} has nothing to train; set optimizer.lr alone")
    return [{"params": groups[0]}, {"params": groups[1], "lr": backbone_lr}]


def tell_preprocessing(here: Preprocess, there: Preprocess, note: Callable[[str], None]) -> None:
    """Say whether images are prepared as those were that the weights of a checkpoint have learned from."""
    ours = here.to_dict()
    if differing := _differing(ours, replace(there, canvas=there.side).to_dict()):
        note(f"warning: images are prepared otherwise than those it was trained on: {differing}")
    else:
        size = f"{here.channels}×{here.size}×{here.size}"
        note(f"images are prepared as those it was trained on: {size}, mean {ours['mean']}, std {ours['std']}")


def tell_held_out(checkpoint: Checkpoint, config: Config, note: Callable[[str], None]) -> None:
    """Warn where images that are held out here may be among those that the weights have learned from."""
    there, here = checkpoint.config.get("data", {}), config.data
    own = {"name": here.name, **here.options}
    if not (here.validation or here.test) or any(there.get(key) != value for key, value in own.items()):
        return
    drawn_by = {f"data.{key}": (getattr(here, key), there.get(key)) for key in DRAWN_BY}
    drawn_by["train.seed"] = (config.train.seed, checkpoint.config.get("train", {}).get("seed"))
    if differing := [key for key, (ours, theirs) in drawn_by.items() if ours != theirs]:
        note(
            "warning: images that are held out here may be among those it was trained on, as these differ:"
            f" {', '.join(differing)}; then validation flatters it, and a test split of the data set's own does not"
        )


def tell_frozen(
    network: nn.Module, frozen: Sequence[str], weights: Mapping[str, Tensor], note: Callable[[str], None]
) -> None:
    """Say what is not trained, and what of it is not among the ``weights`` that were taken, where some were."""
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    num_frozen = sum(sizes[name] for name in frozen)
    note(f"frozen: {num_frozen:,} of {sum(sizes.values()):,} parameters: {_first(frozen)}")
    if weights and (drawn := [name for name in frozen if name not in weights]):
        note(f"warning: frozen as they were drawn, since the checkpoint has none that fit: {_first(drawn)}")


def _difference(here: Sequence[str], there: Sequence[str]) -> str:
    """Say what is different between the names of two sets of classes, in whatever order; nothing if they are equal."""
    if len(here) != len(there):
        return f"{len(here):,} classes here, {len(there):,} there"
    known = set(there)
    new = [name for name in here if name not in known]
    return f"class {_first(new)} is new" if new else ""


def _differing(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """Say what two sets of values have in common by name, but not by value."""
    return "; ".join(
        f"{key} is {here[key]} here, {one_line(str(there[key]))[:60]} there"
        for key in here
        if key not in SIZES and there.get(key, here[key]) != here[key]
    )


def _told(reasons: Mapping[str, str]) -> str:
    return _first([f"{name} ({why})" for name, why in reasons.items()])


def _first(names: Sequence[str]) -> str:
    return listed(names[:SHOWN]) + f" and {len(names) - SHOWN:,} more" * (len(names) > SHOWN)
