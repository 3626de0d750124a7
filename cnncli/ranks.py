"""What torchrun says of this process to the ones it starts, in their environment; a process without it is alone."""

import os

from cnncli.errors import MachineError


def rank() -> int:
    """Return this process's number among those of the run, from 0."""
    return _number("RANK", 0)


def world_size() -> int:
    """Return how many processes the run has."""
    return _number("WORLD_SIZE", 1)


def local_rank() -> int:
    """Return this process's number among those of its machine, from 0."""
    return _number("LOCAL_RANK", 0)


def local_world_size() -> int:
    """Return how many processes of the run this machine has."""
    return _number("LOCAL_WORLD_SIZE", 1)


def as_started(command: str) -> str:
    """Return a command of ``cnn`` as it is to be said where torchrun has started this process."""
    if world_size() == 1:
        return command
    return f"torchrun with its options as before, and -m {command.replace('cnn', 'cnncli', 1)}"


def mark() -> str:
    """Return what messages begin with where several processes may have one; never fails."""
    return f"[rank {os.environ.get('RANK')}] " if os.environ.get("WORLD_SIZE", "1") != "1" else ""


def _number(name: str, alone: int) -> int:
    text = os.environ.get(name, str(alone))
    if not text.isdecimal():
        raise MachineError(f"{name} is {text!r} in the environment, which is no number; start by torchrun, or unset it")
    return int(text)
