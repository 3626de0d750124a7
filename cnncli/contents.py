"""What the fields of a checkpoint have to be, whoever wrote it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from cnncli.datasets import MAX_CLASSES, SPLITS
from cnncli.errors import CheckpointError
from cnncli.pipeline.preprocess import Preprocess


def check_contents(plain: dict[str, Any]) -> None:
    """Raise ``CheckpointError`` that names the first field which is not what it has to be."""
    for field, (what, fits) in FIELDS.items():
        if field in plain and not fits(plain[field]):
            raise CheckpointError(f"its {field} must be {what}")
    try:
        if "preprocess" in plain:
            Preprocess.from_dict(plain["preprocess"])
    except ValueError as error:
        raise CheckpointError(f"its preprocess is not to be used: {error}") from None


def check_optimizer_state(state: dict[int, dict[str, Any]], parameters: Sequence[Tensor]) -> None:
    """Raise ``ValueError`` unless what is kept of each parameter has its shape: fused kernels take that for granted."""
    for number, values in state.items():
        for name, value in values.items():
            wanted = () if name == "step" else parameters[number].shape
            if isinstance(value, Tensor) and value.shape != wanted:
                raise ValueError(f"{name} of parameter {number} is {list(value.shape)}, not {list(wanted)}")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= 1000


def _is_setting(value: Any) -> bool:
    """Whether a value could stand in a config: words, finite numbers, lists, sections."""
    if isinstance(value, dict):
        return all(map(_is_name, value)) and all(map(_is_setting, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_setting, value))
    if isinstance(value, int | float):
        return math.isfinite(value) and abs(value) < 2**64
    return isinstance(value, str | None)


def _is_section(value: Any) -> bool:
    return isinstance(value, dict) and _is_setting(value)


def _is_config(value: Any) -> bool:
    return _is_section(value) and all(isinstance(section, dict) for section in value.values())


def _are_weights(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_name(key) and isinstance(value[key], Tensor) for key in value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _are_files(value: Any) -> bool:
    """Whether a value names files; they are only ever compared with those of a listing, so any path may be there."""
    if not isinstance(value, dict) or not set(value) <= set(SPLITS) or not all(map(_are_texts, value.values())):
        return False
    try:
        "".join(name for names in value.values() for name in names).encode(errors="surrogateescape")
    except UnicodeEncodeError:  # which no file system gives
        return False
    return True


def _is_history(value: Any) -> bool:
    """Whether a value is a list of epochs: numbers, by split or not, that may be infinite; words would reach tables."""

    def is_row(row: Any) -> bool:
        return (
            isinstance(row, dict) and all(map(_is_name, row)) and all(is_number(v) or is_row(v) for v in row.values())
        )

    def is_number(value: Any) -> bool:
        return isinstance(value, int | float | None)

    return isinstance(value, list) and all(map(is_row, value))


FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "model": ("the name of a model", _is_name),
    "options": ("words and finite numbers by name", _is_section),
    "weights": ("tensors by name", _are_weights),
    "classes": ("a list of names", lambda value: _are_texts(value) and 0 < len(value) <= MAX_CLASSES),
    "preprocess": ("words and finite numbers by name", _is_section),
    "config": ("sections of words and finite numbers", _is_config),
    "state": ("a section", lambda value: isinstance(value, dict)),
    "held_out": ("lists of file names by split", _are_files),
    "history": ("a list of epochs, in numbers", _is_history),
    "data": ("words and finite numbers by name", _is_section),
}
