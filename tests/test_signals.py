"""What is asked of a process by signals."""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cnncli.errors import Interrupted, Terminated
from cnncli.signals import Signals, ending

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def sent(number: int, signals: Signals, name: str) -> int:
    """Send a signal to this process and return what is noted of it, once it is."""
    os.kill(os.getpid(), number)
    deadline = time.monotonic() + 60
    while not getattr(signals, name) and time.monotonic() < deadline:
        time.sleep(0.001)
    return int(getattr(signals, name))


@pytest.mark.parametrize(
    ("number", "noted"),
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGTERM)],
)
def test_the_first_that_asks_to_stop_is_noted(number: int, noted: int) -> None:
    said: list[str] = []
    signals = Signals(said.append)
    with signals.heard():
        assert sent(number, signals, "stop") == noted
        os.kill(os.getpid(), signal.SIGTERM)
    assert signals.stop == noted
    assert said == ["stopping after this step; Ctrl-C leaves at once"]


def test_one_that_asks_to_save_stops_nothing() -> None:
    signals = Signals(lambda text: None)
    with signals.heard():
        assert sent(signal.SIGUSR1, signals, "save")
    assert not signals.stop


def test_afterwards_all_is_as_it_was() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    with Signals(lambda text: None).heard():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_what_was_ignored_stays_ignored() -> None:
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals = Signals(lambda text: None)
        with signals.heard():
            os.kill(os.getpid(), signal.SIGHUP)
            assert sent(signal.SIGUSR1, signals, "save")  # which came later
        assert not signals.stop
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, Interrupted), (signal.SIGTERM, Terminated)])
def test_before_there_is_something_to_save_they_raise(number: int, kind: type[Exception]) -> None:
    def ask() -> None:
        with ending():
            os.kill(os.getpid(), number)
            time.sleep(60)

    with pytest.raises(kind, match="before the first step"):
        ask()


LEAVING = """
import ctypes
from cnncli.signals import Signals

libc = ctypes.CDLL(None)
with Signals(lambda text: print(text, flush=True)).heard():
    print("ready", flush=True)
    left = 60
    while left:
        left = libc.sleep(left)  # in C, as a long step is; a signal wakes it, and then it sleeps on
"""


def test_a_second_ctrl_c_leaves_from_inside_a_step() -> None:
    root = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", LEAVING],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopping after this step; Ctrl-C leaves at once\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "interrupted again: left at once; what was saved before is whole\n"


ORPHANED = """
import os, time
from cnncli.signals import die_with_parent
if not os.fork():
    die_with_parent(os.getppid())
    print(os.getpid(), flush=True)
    time.sleep(600)
    os._exit(0)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_a_child_dies_with_its_parent() -> None:
    root = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANED], env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)  # there it is
        parent.kill()
        ready, _, _ = select.select([parent.stdout], [], [], 60)  # ends when the child, which has it open too, does
        assert ready
        assert parent.stdout.read() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_a_child_whose_parent_is_gone_already_ends() -> None:
    """Process 1, say, has taken its place."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from cnncli.signals import die_with_parent; die_with_parent(1)"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
    )
    assert done.returncode == 1


def test_a_display_that_fails_leaves_signals_heard() -> None:
    def fail(text: str) -> None:
        raise OSError(text)

    signals = Signals(fail)
    with signals.heard():
        assert sent(signal.SIGTERM, signals, "stop")
        assert sent(signal.SIGUSR1, signals, "save")


def test_what_asks_to_save_before_there_is_something_ends_nothing() -> None:
    with ending():
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)


def test_what_catches_errors_takes_no_signal_for_one() -> None:
    def ask() -> None:
        with ending():
            with suppress(Exception):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            raise AssertionError("went on")

    with pytest.raises(Terminated):
        ask()
