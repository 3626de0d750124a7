"""What a person sees: progress and warnings on stderr, results on stdout."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from rich.console import Console

from cnncli import ranks
from cnncli.text import counted, visible, visible_json

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

T = TypeVar("T")


class _Lossy:
    """A stream that loses what cannot be written: its reader or terminal may be gone, its disk full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def console(stderr: bool = False) -> Console:
    """Return a console that never takes square brackets in names for markup; 100 columns where there is no terminal."""
    stream: Any = _Lossy(sys.stderr) if stderr else sys.stdout
    return Console(file=stream, markup=False, highlight=False, width=None if stream.isatty() else 100)


class Display:
    """Progress bars on a terminal; where there is none, one line an epoch. Of several processes one speaks.

    A bar that an error leaves behind is removed at the end of the context.
    """

    def __init__(self) -> None:
        self.console = console(stderr=True)
        self.speaks = ranks.rank() == 0
        self.console.quiet = not self.speaks
        self._bar: Progress | None = None

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Say something once."""
        self.console.print(visible(text), style="dim", soft_wrap=True)

    def follow(self, batches: Iterable[T], num_batches: int | None, label: str) -> Iterable[T]:
        """Yield the batches while a bar shows how many there were, and where that is known how long the rest takes."""
        return (
            self._with_bar(batches, num_batches, label)
            if self.console.is_terminal and not self.console.quiet
            else batches
        )

    def _with_bar(self, batches: Iterable[T], num_batches: int | None, label: str) -> Iterator[T]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # Unless told otherwise, rich has stdout go where the bar is, even what was redirected to a file.
        how: dict[str, Any] = {"transient": True, "refresh_per_second": 5, "redirect_stdout": False}
        with Progress(*columns, console=self.console, **how) as self._bar:
            yield from self._bar.track(batches, total=num_batches, description=visible(label))

    def epoch(self, row: dict[str, Any], num_epochs: int) -> None:
        """Print an epoch of the history on one line."""
        scores = "".join(
            f"   {split} loss {row[split]['loss']:.4f} accuracy {row[split]['accuracy']:7.2%}"
            for split in ("train", "val", "test")
            if row.get(split)
        )
        scores += f"   {row['num_skipped']:,} broken left out" if row.get("num_skipped") else ""
        scores += f"   {counted(row['overflows'], 'step')} skipped so far" if row.get("overflows") else ""
        width = len(str(num_epochs))
        speed = f"{row['images_per_second']:,.0f} images/s"
        self.console.print(
            f"epoch {row['epoch']:{width}}/{num_epochs}{scores}   {row['seconds']:.1f} s, {speed}", soft_wrap=True
        )


def print_json(result: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    _print(as_json(result))


def as_json(result: Any) -> str:
    """Return JSON as stdout takes it, with escapes only where its encoding lacks a character."""
    text = visible_json(json.dumps(result, ensure_ascii=False))
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = visible_json(json.dumps(result))
    return text


def print_as_it_comes(parts: Iterable[str]) -> None:
    """Print on stdout what has its line ends already, each part at once; no more is asked for when nobody reads it."""
    for part in parts:
        if not _print(part, end=""):
            return


def print_table(table: "Table") -> None:
    """Print a table on stdout; its cells are made harmless by who fills them, since styles are escapes as well."""
    with_console = console()
    with with_console.capture() as capture:
        with_console.print(table)
    _print(capture.get().rstrip("\n"))


def print_text(text: str) -> None:
    """Print text on stdout."""
    _print(visible(text))


def _print(text: str, end: str = "\n") -> bool:
    """Print on stdout, and return whether somebody reads it; a reader that has gone away is no error."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # so that flushing it at exit fails no more
        return False
    return True
