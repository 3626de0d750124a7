"""A kernel that is forgotten and learned back from input and output, by gradient descent.

The example is that of Zhang et al., "Dive into Deep Learning", section 7.2.4.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnncli.analysis.convolution import Window, windows
from cnncli.errors import ConfigError

MOST_NUMBERS = 50_000_000  # of the input, once for each weight: 400 MB
CAUTION = 0.9  # of the largest learning rate with which the loss falls


@dataclass(frozen=True)
class Learned:
    """The kernel [C, H, W] after the last step, and the losses before each step and after the last.

    Of all directions in which a kernel may change, ``num_seen`` change the output on this input.
    """

    kernel: NDArray[np.float64]
    losses: list[float]
    lr: float
    num_seen: int


def learn_kernel(
    maps: NDArray[np.float64],
    output: NDArray[np.float64],
    window: Window,
    num_steps: int,
    lr: float | None = None,
    seed: int = 0,
) -> Learned:
    """Find the kernel that makes ``output`` [H', W'] of ``maps`` [C, H, W]; the loss is the sum of squared errors.

    It begins as a layer without a bias does, uniform within ±1/√(number of weights); each step sees all of the output.
    The loss is a parabola: it falls only where ``lr`` times its largest curvature is below 2.
    """
    patches = _patches(maps, window)
    gram = patches.T @ patches
    largest = 1 / float(np.linalg.eigvalsh(gram)[-1])
    lr = CAUTION * largest if lr is None else lr
    if not lr < largest:
        raise ConfigError(
            f"--lr {lr:g}: on this input each step would overshoot by more than the last; below {largest:.2g} the loss"
            " falls. Without --lr a fitting one is taken"
        )
    bound = 1 / np.sqrt(len(gram))
    weights, target = np.random.default_rng(seed).uniform(-bound, bound, len(gram)), output.ravel()
    losses = []
    for _ in range(num_steps):
        errors = patches @ weights - target
        losses.append(float(errors @ errors))
        weights = weights - lr * 2 * (patches.T @ errors)
    errors = patches @ weights - target
    losses.append(float(errors @ errors))
    kernel = weights.reshape(len(maps), *(slide.size for slide in window))
    return Learned(kernel, losses, lr, int(np.linalg.matrix_rank(gram, hermitian=True)))


def _patches(maps: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Return a row [C·kernel's height·width] for each place of the output."""
    seen = windows(maps, window)
    if seen.size > MOST_NUMBERS:
        raise ConfigError(
            f"--learn holds the input once for each weight, here {seen.size:,} numbers of at most {MOST_NUMBERS:,};"
            " give a smaller input or a larger --stride"
        )
    patches = seen.transpose(1, 2, 0, 3, 4).reshape(seen.shape[1] * seen.shape[2], -1)
    if np.abs(patches).max() < 1e-30:
        raise ConfigError(
            "--learn: the input is zero, of which every kernel makes zero; there is nothing to learn from"
        )
    return patches
