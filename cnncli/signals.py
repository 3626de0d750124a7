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


class _Stop(BaseException):
    """A signal, raised wherever the process is; what catches errors there must not take it for one."""


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
        inside, outside = socket.socketpair()
        inside.setblocking(False)
        thread = threading.Thread(target=self._listen, args=(outside,), daemon=True)
        thread.start()
        woken_before = signal.set_wakeup_fd(inside.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, _wake) for number in _not_ignored(ALL)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(woken_before)
            with suppress(OSError):
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
            with suppress(Exception):  # or the next signal would not be heard
                self.say("stopping after this step; Ctrl-C leaves at once")


@contextmanager
def ending() -> Iterator[None]:
    """End the context with ``Interrupted`` or ``Terminated`` when asked to stop: there is nothing to be saved.

    What asks to save is passed over.
    """
    before = {number: signal.signal(number, _wake if number == SAVE else _end) for number in _not_ignored(ALL)}
    try:
        yield
    except _Stop as stop:
        problem = "before the first step; nothing was changed"
        if stop.args[0] == signal.SIGINT:
            raise Interrupted(f"interrupted {problem}") from None
        raise Terminated(f"terminated {problem}") from None
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


def die_with_parent(parent: int) -> None:
    """Have Linux kill this process when the ``parent`` that started it ends, however it ends; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended
            os._exit(1)


def _not_ignored(numbers: list[int]) -> list[int]:
    """Leave out what whoever started the process had it ignore, as nohup does with a hangup."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _wake(number: int, frame: FrameType | None) -> None:
    """Do nothing: that there is a handler has Python wake the thread that listens."""


def _end(number: int, frame: FrameType | None) -> None:
    raise _Stop(number)
