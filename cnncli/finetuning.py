"""Fine-tuning: a network that learns faster in its head."""

from typing import Any

import torch
from torch import nn

from cnncli.config.schema import Config, Model
from cnncli.registry import MODELS


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
