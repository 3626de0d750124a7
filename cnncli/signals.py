"""What the system and the user ask of a running process: to save, to stop, to leave at once."""

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from cnncli.errors import Interrupted, Terminated

# Windows has neither of the last two.
SAVE: int | None = getattr(signal, "SIGUSR1", None)
HANGUP: int | None = getattr(signal, "SIGHUP", None)
STOPS = [number for number in (signal.SIGINT, signal.SIGTERM, HANGUP) if number is not None]
ALL = [*STOPS, *([SAVE] if SAVE is not None else [])]
PR_SET_PDEATHSIG = 1  # prctl(2)


class Signals:
    """What was asked for: ``stop`` is the number of the signal that asked to stop or 0, ``save`` whether one asked to.

    A thread takes signals in the moment they come, since the main one may be inside a step for a while.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.stop = 0
        self.save = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Note signals inside the context; only a Ctrl-C after the first ends the process."""
        numbers = _not_ignored(ALL)
        before = {number: signal.signal(number, _wake) for number in numbers}
        inside, outside = socket.socketpair()
        inside.setblocking(False)
        woken_before = signal.set_wakeup_fd(inside.fileno(), warn_on_full_buffer=False)
        thread = threading.Thread(target=self._listen, args=(outside,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            inside.send(b"\0")  # closing it would not do: workers that were forked meanwhile hold it too
            thread.join()
            inside.close()

    def _listen(self, outside: socket.socket) -> None:
        with outside:
            while (number := outside.recv(1)[0]) != 0:
                self._take(number)

    def _take(self, number: int) -> None:
        if number == SAVE:
            self.save = True
        elif number == signal.SIGINT and self.stop:
            leave("interrupted again: left at once; what was saved before is whole")
        elif number in STOPS and not self.stop:
            self.stop = signal.SIGTERM if number == HANGUP else number
            self.say("stopping after this step; Ctrl-C leaves at once")


@contextmanager
def ending() -> Iterator[None]:
    """Raise ``Interrupted`` or ``Terminated`` inside the context when asked to stop: there is nothing to be saved."""
    before = {number: signal.signal(number, _end) for number in _not_ignored(STOPS)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Have signals wait for the end of the context; to a process that is forked in it, until it can :func:`ignore`."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, which forks none
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Ignore in a process that was started what is asked of the one that started it."""
    signal.set_wakeup_fd(-1)  # it is the parent's
    for number in ALL:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL)


def leave(message: str) -> NoReturn:
    """End the process at once with what Ctrl-C ends it with."""
    shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # the cursor, which a progress bar may have hidden
    with suppress(OSError):  # where nobody reads it
        sys.stderr.write(f"{shown}{message}\n")
        sys.stderr.flush()
    os._exit(130)


def die_with_parent() -> None:
    """Have Linux kill this process when the one that started it ends, however it ends; elsewhere do nothing."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended meanwhile
            os._exit(1)


def _not_ignored(numbers: list[int]) -> list[int]:
    """Leave out what whoever started the process had it ignore, as nohup does with a hangup."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _wake(number: int, frame: FrameType | None) -> None:
    """Do nothing: that there is a handler has Python wake the thread that listens."""


def _end(number: int, frame: FrameType | None) -> None:
    problem = "before the first step; nothing was changed"
    raise Interrupted(f"interrupted {problem}") if number == signal.SIGINT else Terminated(f"terminated {problem}")
