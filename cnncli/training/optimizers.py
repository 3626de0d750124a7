"""How gradients change the weights, by name.

Fused ones update all weights in one pass, and skip the update on the device once ``found_inf`` is set there.
"""

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from cnncli.registry import OPTIMIZERS

LearningRate = Annotated[float, Field(gt=0, le=1000, description="learning rate; the schedule's peak")]
Momentum = Annotated[float, Field(ge=0, lt=1, description="share of the last update that is kept")]
WeightDecay = Annotated[float, Field(ge=0, le=100, description="how strongly weights are pulled to zero")]
Beta = Annotated[float, Field(ge=0, lt=1, description="decay of a running mean of the gradients or their squares")]
Epsilon = Annotated[float, Field(gt=0, le=1, description="keeps a division from being by zero")]
Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]  # or groups of them, with options of their own


@OPTIMIZERS.register
def sgd(
    parameters: Parameters,
    lr: LearningRate = 0.05,
    momentum: Momentum = 0.9,
    weight_decay: WeightDecay = 0.0,
    nesterov: Annotated[bool, Field(description="look ahead along the momentum")] = False,
) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    optimizer = torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True
    )
    if momentum:
        # A first step that is skipped, as those of fp16 are, would leave them what torch.empty found in memory.
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        optimizer.state |= {parameter: {"momentum_buffer": torch.zeros_like(parameter)} for parameter in trained}
    return optimizer


@OPTIMIZERS.register
def adam(
    parameters: Parameters,
    lr: LearningRate = 1e-3,
    beta1: Beta = 0.9,
    beta2: Beta = 0.999,
    eps: Epsilon = 1e-8,
    weight_decay: WeightDecay = 0.0,
) -> Optimizer:
    """Adam (Kingma and Ba 2015); weight decay is added to the gradient."""
    return torch.optim.Adam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


@OPTIMIZERS.register
def adamw(
    parameters: Parameters,
    lr: LearningRate = 1e-3,
    beta1: Beta = 0.9,
    beta2: Beta = 0.999,
    eps: Epsilon = 1e-8,
    weight_decay: WeightDecay = 1e-2,
) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return torch.optim.AdamW(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


@OPTIMIZERS.register
def rmsprop(
    parameters: Parameters,
    lr: LearningRate = 1e-3,
    alpha: Beta = 0.99,
    momentum: Momentum = 0.0,
    eps: Epsilon = 1e-8,
    weight_decay: WeightDecay = 0.0,
) -> Optimizer:
    """RMSprop (Tieleman and Hinton 2012); PyTorch has no fused one."""
    return torch.optim.RMSprop(parameters, lr=lr, alpha=alpha, momentum=momentum, eps=eps, weight_decay=weight_decay)
