"""Worker processes: they read ahead of the loop."""

import os
import re
import signal
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from cnncli.errors import MachineError

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


def _leave_signals_to_the_loop(worker: int) -> None:
    """Have Ctrl-C reach the loop alone, which then ends its workers; on SIGTERM, which launchers send to all, leave.

    To have been killed by it would be an error to torch, raised wherever the loop is.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
