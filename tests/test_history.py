"""Which epochs are the best, and when to give up."""

from typing import Any

from cnncli.history import best_row, best_rows, is_hopeless, row_of_weights


def history(*scores: tuple[float, float]) -> list[dict[str, Any]]:
    """Return epochs of these validation accuracies and losses."""
    return [
        {"epoch": number, "val": {"accuracy": accuracy, "loss": loss}}
        for number, (accuracy, loss) in enumerate(scores, start=1)
    ]


def test_of_equal_accuracies_the_lower_loss_and_then_the_earlier_epoch_is_better() -> None:
    rows = history((0.5, 1.0), (0.9, 0.4), (0.9, 0.3), (0.9, 0.3), (0.8, 0.1))
    assert [row["epoch"] for row in best_rows(rows, 4)] == [3, 4, 2, 5]
    assert best_row(rows) is rows[2]
    assert best_row([{"epoch": 1, "val": None}]) is None


def test_weights_are_of_no_epoch_that_has_no_number() -> None:
    row = {"train": {"loss": 1.0, "accuracy": 0.5}, "val": None}
    assert row_of_weights([{"epoch": 3, **row}], {"progress": {"epoch": 3, "position": 0}}) == {"epoch": 3, **row}
    assert row_of_weights([{"epoch": 3, **row}], {"progress": {"epoch": 3, "position": 8}}) is None
    assert row_of_weights([row], {"progress": {"position": 0}}) is None  # as a stranger may write it


def test_patience_is_lost_after_so_many_epochs_that_are_no_better() -> None:
    rows = history((0.5, 1.0), (0.9, 0.4), (0.9, 0.4), (0.8, 0.1), (0.9, 0.3), (0.7, 0.3))
    assert [is_hopeless(rows[:end], 2) for end in range(1, 7)] == [False, False, False, True, False, False]
    assert not is_hopeless(rows[:4], 3)
    assert not is_hopeless(rows[:4], None)
    assert not is_hopeless([{"epoch": number, "val": None} for number in range(9)], 1)
