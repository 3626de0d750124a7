"""``cnn predict``."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnncli import ranks
from cnncli.completion import offer_devices
from cnncli.errors import CheckpointError, ConfigError, DataError
from cnncli.options import CheckpointPath, Json
from cnncli.text import counted, one_line

if TYPE_CHECKING:
    from cnncli.checkpoint import Network
    from cnncli.display import Display
    from cnncli.predicting import Prediction

    Batches = Iterable[list[Prediction]]

PROBABILITY, LABEL_WIDTH, NEXT_WIDTH = "probability", 20, 30  # a heading; columns at most


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(predict)


def predict(
    checkpoint: CheckpointPath,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…",
            help="Pictures, folders, patterns in quotes such as 'digits/**/*.png', or - for names on stdin.",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes of each picture.")] = 5,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a row a picture on stdout.")] = False,
    json: Json = False,
    batch_size: Annotated[int, typer.Option(min=1, max=1_000_000, help="Pictures at once.")] = 128,
    workers: Annotated[
        int | None, typer.Option(min=0, max=256, help="Processes that decode; as many as there are cores.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:N.", autocompletion=offer_devices)] = "auto",
) -> None:
    """Predict what is on pictures: the likeliest classes and their probabilities.

    What cannot be read is named on stderr, the rest goes on, and the exit code is 3 in the end.

    Example: cnn predict runs/lenet5/checkpoints/best.pt digits --csv > digits.csv
    """
    from cnncli import predicting
    from cnncli.display import Display, print_as_it_comes
    from cnncli.pipeline.workers import minding_workers
    from cnncli.runtime import choose_runtime, cores_a_rank

    if as_csv and json:
        raise ConfigError("--csv and --json both print on stdout: choose one")
    if ranks.world_size() > 1:
        raise ConfigError(
            "cnn predict is one process: start it without torchrun, or once for each part of the pictures"
        )
    network, runtime = _loaded(checkpoint, paths), choose_runtime(device)
    found = predicting.find(paths, predicting.names_in(sys.stdin.buffer) if sys.stdin else ())
    workers = cores_a_rank() if workers is None else workers
    broken: list[Prediction] = []
    with runtime.guard(batch_size), minding_workers(), Display() as display:
        batches = predicting.predict(network, found, runtime, batch_size, workers, top)
        good = _without_broken(_followed(batches, display, paths, batch_size), broken, display.note)
        if json:
            print_as_it_comes(_json(good, broken))
        elif as_csv:
            print_as_it_comes(_csv(good, min(top, len(network.classes))))
        else:
            print_as_it_comes(_table(good, network.classes))
    if broken:
        raise DataError(f"{counted(len(broken), 'path')} could not be predicted; the lines above say why")


def _loaded(checkpoint: Path, paths: list[str]) -> "Network":
    """Return the network of a checkpoint; ``ConfigError`` where pictures stand in its place."""
    from cnncli.checkpoint import load_network
    from cnncli.predicting import is_picture

    try:
        return load_network(checkpoint)
    except CheckpointError as error:
        swapped = next((path for path in paths if Path(path).suffix == ".pt"), None)
        if checkpoint.suffix == ".pt" or (swapped is None and not is_picture(os.fsencode(checkpoint))):
            raise
        right = one_line(f"cnn predict {swapped or 'runs/lenet5/checkpoints/best.pt'} {checkpoint}")
        raise ConfigError(f"{error}; the checkpoint comes first: {right}") from None


def _followed(batches: "Batches", display: "Display", paths: list[str], batch_size: int) -> "Batches":
    """Show a bar, unless it would stand between the results, which tell as much."""
    from cnncli.predicting import find

    if sys.stdout.isatty() or not display.console.is_terminal:
        return batches
    num_batches = None if "-" in paths else -(-sum(1 for _ in find(paths)) // batch_size)
    return display.follow(batches, num_batches, "predicting")


def _without_broken(batches: "Batches", broken: "list[Prediction]", say: Callable[[str], None]) -> "Batches":
    """Leave out, say and collect what nothing is predicted of."""
    for predictions in batches:
        for prediction in predictions:
            if prediction.error:
                broken.append(prediction)
                say(one_line(f"{prediction.path}: {prediction.error}"))
        yield [prediction for prediction in predictions if not prediction.error]


def _json(batches: "Batches", broken: "list[Prediction]") -> Iterator[str]:
    """Write one object, picture by picture."""
    from cnncli.display import as_json

    before = opening = '{"predictions": ['
    for predictions in batches:
        objects = []
        for path, top, _ in predictions:
            ranking = [{"label": label, "probability": probability} for label, probability in top]
            objects.append({"path": path, **ranking[0], "top": ranking})
        if objects:
            yield before + as_json(objects)[1:-1]
            before = ",\n"
    errors = as_json([{"path": path, "error": error} for path, _, error in broken])
    yield f'{opening if before == opening else ""}], "errors": {errors}}}\n'


def _csv(batches: "Batches", top: int) -> Iterator[str]:
    """Write a row a picture, each on a line of its own, whatever the names."""
    more = [f"{what}_{place}" for place in range(2, top + 1) for what in ("label", "probability")]
    rows: list[list[object]] = [["path", "label", "probability", *more]]
    for predictions in batches:
        for path, ranking, _ in predictions:
            cells = ((one_line(label), probability) for label, probability in ranking)
            rows.append([one_line(path), *chain.from_iterable(cells)])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        yield text.getvalue()
        rows = []


def _table(batches: "Batches", classes: list[str]) -> Iterator[str]:
    """Write a row a picture; the first batch says how wide paths are, of which the end is kept where they are wider.

    No table of rich's, which has to know all rows.
    """
    from rich.cells import cell_len, set_cell_size

    from cnncli.display import console

    label_width = min(max(cell_len(one_line(name)) for name in ["label", *classes]), LABEL_WIDTH)
    room = max(console().width - label_width - len(PROBABILITY) - NEXT_WIDTH - 3 * len("  "), len("path"))
    path_width = 0
    for predictions in batches:
        rows = []
        if predictions and not path_width:
            path_width = min(max(cell_len(one_line(path)) for path in ["path", *(p.path for p in predictions)]), room)
            headings = set_cell_size("path", path_width), set_cell_size("label", label_width), PROBABILITY
            rows.append("  ".join([*headings, "next likeliest"]))
        for path, ((label, probability), *others), _ in predictions:
            cells = _end(path, path_width), set_cell_size(_start(label, label_width), label_width)
            rows.append("  ".join([*cells, f"{probability:{len(PROBABILITY)}.2%}", _next(others)]).rstrip())
        if rows:
            yield "\n".join(rows) + "\n"


def _next(others: list[tuple[str, float]]) -> str:
    """Return as many of the other classes as there is room for."""
    from rich.cells import cell_len

    text = ""
    for label, probability in others:
        longer = f"{text}{', ' * bool(text)}{_start(label, LABEL_WIDTH)} {probability:.2%}"
        if cell_len(longer) > NEXT_WIDTH:
            break
        text = longer
    return text


def _start(name: str, width: int) -> str:
    """Return a name as it may stand within a line, cut at its end where it takes more than ``width`` columns."""
    from rich.cells import cell_len, set_cell_size

    line = one_line(name)
    return line if cell_len(line) <= width else set_cell_size(line, width - 1) + "…"


def _end(name: str, width: int) -> str:
    """Return a name in ``width`` columns, cut at its beginning."""
    from rich.cells import cell_len, set_cell_size

    line = one_line(name)
    if cell_len(line) <= width:
        return set_cell_size(line, width)
    return "…" + set_cell_size(line[::-1], width - 1)[::-1]
