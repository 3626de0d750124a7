"""Worker processes: they read ahead of the loop."""

import atexit
import re
import signal
from collections.abc import Iterable, Iterator
from multiprocessing import active_children
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from cnncli.errors import MachineError
from cnncli.signals import SAVE, STOPS, die_with_parent

T = TypeVar("T")


def by_workers(dataset: Dataset[T], wanted: Iterable[Any], workers: int, pin: bool = False) -> Iterator[T]:
    """Yield what a data set makes of each of the things ``wanted``, in their order, by worker processes.

    Raises ``MachineError`` if one of them dies.
    """
    loader: DataLoader[T] = DataLoader(
        dataset,
        batch_size=None,
        sampler=wanted,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
        worker_init_fn=_leave_signals_to_the_loop,
        generator=torch.Generator(),  # or it draws from that of the network's dropout
    )
    try:
        yield from loader
    except RuntimeError as error:
        text = str(error)
        if not re.search("exited unexpectedly|killed by signal", text):
            raise  # an error of ours, which a worker met
        cause = "its shared memory (/dev/shm) is full" if "Bus error" in text else text.partition("\n")[0]
        raise MachineError(
            f"a process that reads images died: {cause}; try fewer with --set data.workers=1, or 0 for none"
        ) from error


def _as_it_is(read: Any) -> Any:
    return read


@atexit.register
def _end_workers() -> None:
    """End workers that an error left behind: they ignore the signal by which multiprocessing would."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or torch calls it an error
    for worker in active_children():
        if worker.daemon:
            worker.kill()


def _leave_signals_to_the_loop(worker: int) -> None:
    """Have signals reach the loop alone, which needs its workers until it stops.

    A forked worker holds the run's lock open with its parent, so it must not outlive it, however that ends.
    """
    signal.set_wakeup_fd(-1)  # it is the parent's
    for number in (*STOPS, *([SAVE] if SAVE is not None else [])):
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
