"""Loss and accuracy over epochs, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnncli.errors import ConfigError
from cnncli.pages.picture import COLOURS, plain, write_picture
from cnncli.text import one_line

MAX_EPOCHS = 1_000_000  # as many as a config may ask for
History = Sequence[Mapping[str, Any]]

STYLES = {"train": "--", "val": "-", "test": "-"}


def draw_curves(runs: Mapping[str, History], path: Path) -> None:
    """Draw the histories of one or several runs, named, over each other and write a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    for name, history in runs.items():
        if not all(map(_is_epoch, history)):
            raise ConfigError(f"{one_line(name)}: its history.jsonl is not what a run writes; leave that run out")
    figure = Figure(figsize=(10, 4.2 + 0.2 * len(runs)), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for axes, measure, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        for index, (name, history) in enumerate(runs.items()):
            _draw_run(axes, name if len(runs) > 1 else "", history, measure, scale, COLOURS[index % len(COLOURS)])
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    loss.set_ylabel("loss")
    accuracy.set_ylabel("accuracy (%)")
    train_first = sorted(accuracy.get_lines(), key=lambda line: line.get_linestyle() != STYLES["train"])
    figure.legend(handles=train_first, loc="outside lower center", ncols=2, frameon=False)
    if len(runs) == 1:
        figure.suptitle(plain(next(iter(runs))))
    write_picture(figure, path)


def _is_epoch(row: Any) -> bool:
    """Whether a row, which may be read from a file of anybody, has the numbers that are drawn."""
    if not isinstance(row, dict) or type(row.get("epoch")) is not int or not 0 <= row["epoch"] <= MAX_EPOCHS:
        return False
    scores = [row[split] for split in STYLES if row.get(split)]
    return all(
        isinstance(score, dict) and all(type(score.get(measure)) is float for measure in ("loss", "accuracy"))
        for score in scores
    )


def _draw_run(axes: Any, name: str, history: History, measure: str, scale: float, colour: str) -> None:
    for split, style in STYLES.items():
        points = [(row["epoch"], row[split][measure] * scale) for row in history if row.get(split)]
        if not points:
            continue
        epochs, values = zip(*points, strict=True)
        marker = "o" if len(points) <= 30 else ""
        shade = {"color": colour, "alpha": 0.55 if split == "train" else 1.0}
        label = f"{split} {values[-1]:.2f} %  {plain(name)}".strip()  # of the accuracy, which makes the legend
        axes.plot(epochs, values, style, marker=marker, markersize=3.5, label=label, **shade)
