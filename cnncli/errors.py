"""What can go wrong through no fault of ours, each kind with its exit code."""

import difflib
from collections.abc import Iterable

from cnncli.text import one_line


class CnnError(Exception):
    """A problem that one message explains: what, where, why, what next."""

    exit_code = 1


class ConfigError(CnnError):
    """The command line or a config file asks for something that cannot be."""

    exit_code = 2


class DataError(CnnError):
    """Images or labels are missing, broken or contradict themselves."""

    exit_code = 3


class CheckpointError(CnnError):
    """A checkpoint is missing, damaged, or belongs to something else."""

    exit_code = 4


class MachineError(CnnError):
    """The machine lacks what was asked of it: a device, disk space, a permission."""

    exit_code = 5


class DivergedError(CnnError):
    """The loss or a gradient is no longer a finite number, since ``steps_ago``; ``images`` says of which images."""

    exit_code = 6

    def __init__(self, step: int, lr: float, steps_ago: int, images: str = "") -> None:
        self.step, self.lr, self.steps_ago = step, lr, steps_ago
        super().__init__(
            f"the loss or a gradient was not finite at step {step:,} (learning rate {lr:.3g}{images}); the weights are"
            " those before it. Try a lower --lr, --set train.clip_norm=1 or --set schedule.warmup_epochs=1"
        )


class OutOfMemoryError(CnnError):
    """The device has no room for the model and a batch."""

    exit_code = 7


class RunBusyError(CnnError):
    """Another process is writing to the run directory."""

    exit_code = 8


class Interrupted(CnnError):
    """The user pressed Ctrl-C."""

    exit_code = 130


class Terminated(CnnError):
    """The system asked the process to end."""

    exit_code = 143


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """End a message about an unknown ``word``: ``"; did you mean momentum?"``, or all that is known."""
    names = sorted(known)
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), folded, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(one_line(folded[name]) for name in near)}?"
    return f"; known are {', '.join(map(one_line, names))}" if names else ""
