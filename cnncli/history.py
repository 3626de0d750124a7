"""The epochs of a run: what is noted of each, which of them are the best, and whether to hope for a better one."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnncli.config.schema import Config
    from cnncli.training.loop import EpochRecord
    from cnncli.training.meters import Metrics

Row = dict[str, Any]


def row_of(record: "EpochRecord", config: "Config") -> Row:
    """Return an epoch as history.jsonl has it: scores on the test split are never called val."""
    row, validate_on = asdict(record), config.train.validate_on
    del row["train"], row["validation"]
    if config.runtime.precision != "fp16":
        del row["overflows"]
    if config.data.on_error == "skip":
        row["num_skipped"] = record.train.num_skipped + (record.validation.num_skipped if record.validation else 0)
    scores = measured(record.validation) if record.validation else None
    row |= {"train": measured(record.train), "val": scores if validate_on == "val" else None}
    return row | ({"test": scores} if validate_on == "test" else {})


def measured(metrics: "Metrics") -> Row:
    """Return what is noted of a pass over a split."""
    return {"loss": metrics.loss, "accuracy": metrics.accuracy}


def best_rows(history: list[Row], number: int) -> list[Row]:
    """Return the epochs of the highest validation accuracies; of equal ones those of the lower loss, then the earlier.

    There are none where nothing was validated.
    """
    validated = [row for row in history if row.get("val")]
    return sorted(validated, key=lambda row: (-row["val"]["accuracy"], row["val"]["loss"]))[:number]


def best_row(history: list[Row]) -> Row | None:
    """Return the best epoch; ``None`` if there is none."""
    return next(iter(best_rows(history, 1)), None)


def row_of_weights(history: list[Row], state: Row) -> Row | None:
    """Return the epoch that a checkpoint's weights come from; ``None`` where training went on after it, or never was.

    A stranger may have written both: whatever scores the row has are numbers.
    """
    progress = state.get("progress")
    if not history or not isinstance(progress, dict) or progress.get("position") != 0:
        return None
    row = history[-1]
    scores = [row[split] for split in ("train", "val", "test") if row.get(split)]
    are_whole = all(
        isinstance(each, dict) and all(isinstance(each.get(measure), float) for measure in ("loss", "accuracy"))
        for each in scores
    )
    epoch = row.get("epoch")
    return row if are_whole and isinstance(epoch, int) and epoch == progress.get("epoch") else None


def is_hopeless(history: list[Row], patience: int | None) -> bool:
    """Whether the last ``patience`` epochs were no better than one before them."""
    best = best_row(history)
    return patience is not None and best is not None and history[-1]["epoch"] - best["epoch"] >= patience
