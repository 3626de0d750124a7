"""Worker processes: they read ahead of the loop."""

import atexit
import errno
import os
import re
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import (
    active_children,
    get_start_method,
    parent_process,
    queues,
    resource_tracker,
    set_forkserver_preload,
)
from typing import Any, NoReturn, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from cnncli.errors import MachineError
from cnncli.signals import held_back, ignore

FEWER = "try fewer with --set data.workers=1 (cnn predict: --workers 1), or 0 for none"
NO_ROOM = f"Bus error|exit code {errno.ENOSPC}\\."  # in a worker's shared memory: of the kernel, and of ours
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
        worker_init_fn=_serve_the_loop,
        generator=torch.Generator(),  # or it draws from that of the network's dropout
    )
    with minding_workers():
        yield from _started(loader)


@contextmanager
def minding_workers() -> Iterator[None]:
    """Turn the death of a worker into a ``MachineError``: torch raises it wherever the loop is at that moment."""
    try:
        yield
    except RuntimeError as error:
        text = str(error.__cause__ if isinstance(error.__cause__, RuntimeError) else error)  # the former says more
        if not re.search("exited unexpectedly|killed by signal", text):
            raise  # an error of ours, which a worker met
        first_line = text.partition("\n")[0].rstrip(". ")
        cause = "its shared memory (/dev/shm) is full" if re.search(NO_ROOM, text) else first_line
        raise MachineError(f"a process that reads images died: {cause}; {FEWER}") from error


def _started(loader: "DataLoader[T]") -> Iterator[T]:
    """Start the workers. They begin without the handlers of signals that their parent has, or each would act on one.

    Their fork server and its tracker keep them held back for ever: a signal to the whole group is for the loop.
    """
    if get_start_method() == "forkserver":
        set_forkserver_preload(["cnncli.pipeline.reading"])  # or each worker would import torch anew
        with held_back():
            resource_tracker.ensure_running()  # which lets signals through again
    try:
        with held_back():
            return iter(loader)
    except OSError as error:
        where = " in shared memory (/dev/shm)" if error.errno == errno.ENOSPC else ""
        raise MachineError(f"cannot start processes that read images: {error.strerror}{where}; {FEWER}") from error


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


def _serve_the_loop(worker: int) -> None:
    """Have signals reach the loop alone, which needs its workers until it stops; and have them end with it."""
    ignore()
    threading.Thread(target=_end_with_the_loop, daemon=True).start()
    queues.Queue._on_queue_feeder_error = staticmethod(_leave_unsent)  # type: ignore[attr-defined]


def _end_with_the_loop() -> None:
    """End a worker when the loop's process ended, however it did: a forked one holds the lock of the run open.

    torch only sees whether what started a worker is there, and a fork server is there as long as its workers are.
    """
    loop = parent_process()
    assert loop is not None
    loop.join()
    os._exit(1)


def _leave_unsent(error: Exception, read: Any) -> NoReturn:
    """End a worker that cannot hand over what it read, for which the loop would wait for ever."""
    os._exit(errno.ENOSPC if os.strerror(errno.ENOSPC) in str(error) else 1)
