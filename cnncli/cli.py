"""The command line: the table of commands, and errors as messages with exit codes."""

import importlib
import io
import os
import pkgutil
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cnncli import commands, ranks
from cnncli.completion import mend_bash
from cnncli.errors import CnnError
from cnncli.signals import leave
from cnncli.text import one_line, visible

app = typer.Typer(
    name="cnn",
    help="Train, measure and understand classic convolutional networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in pkgutil.iter_modules(commands.__path__):
    importlib.import_module(f"{commands.__name__}.{_module.name}").add_to(app)


def print_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from cnncli import __version__

        print(f"cnncli {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True)] = False,
) -> None:
    """Train, measure and understand classic convolutional networks."""


def main() -> None:
    """Run a command; every error is one message on stderr and its exit code, a traceback only with ``--debug``."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115  # where whoever started it had closed it
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115  # or the next file would be number 2
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # ⌊ and × are not in every encoding; a ? is better than no table
            is_utf8 = stream.encoding.lower().replace("-", "") == "utf8"  # which lacks only a file name's odd bytes
            stream.reconfigure(errors="backslashreplace" if is_utf8 else "replace")
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, _leave)
    if os.environ.get("_CNN_COMPLETE") == "complete_bash":
        mend_bash()
    try:
        app(args=[argument for argument in sys.argv[1:] if argument != "--debug"], prog_name="cnn")  # it goes anywhere
    except CnnError as error:
        _fail(f"error: {error}", error.exit_code)
    except OSError as error:
        named = f"{one_line(str(error.filename))}: " if error.filename else ""
        _fail(f"error: {named}{error.strerror or error}", 5)
    except Exception as error:
        _fail(f"cnncli met a bug of its own: {error!r}\nRun it again as 'cnn --debug …' and report what it prints.", 1)


def _leave(signal_number: int, frame: object) -> NoReturn:
    """End at once on Ctrl-C: a KeyboardInterrupt while torch is imported would abort the process in C++."""
    leave("interrupted")


def _fail(message: str, exit_code: int) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    with suppress(OSError):  # where nobody reads it
        print(visible(ranks.mark() + message), file=sys.stderr)
    sys.exit(exit_code)
