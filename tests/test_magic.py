"""Files that are no checkpoints are told by what they hold; exports of ours are looked at in test_exporting."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from cnncli import checkpoint as checkpoints
from cnncli.errors import CheckpointError


def of_numpy(file: BytesIO) -> None:
    np.savez(file, a=np.zeros(3))


def of_torch(file: BytesIO) -> None:
    torch.save({"weight": torch.zeros(3)}, file)


def of_text(file: BytesIO) -> None:
    file.write(b"PK, and more")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (of_numpy, "but another archive: if torch saved weights in it, 'cnn import'"),
        (of_torch, "but another archive: if torch saved weights in it, 'cnn import'"),
        (of_text, "or one that was cut short"),
        (lambda file: None, "or one that was cut short"),
    ],
)
def test_what_else_a_file_is(write: Callable[[BytesIO], None], message: str, tmp_path: Path) -> None:
    content = BytesIO()
    write(content)
    path = tmp_path / "a.pt"
    path.write_bytes(content.getvalue())
    with pytest.raises(CheckpointError, match=f"not a checkpoint of cnncli, {message}"):
        checkpoints.load(path)
    path.write_bytes(content.getvalue()[:-5])
    with pytest.raises(CheckpointError, match="not a checkpoint of cnncli, or one that was cut short"):
        checkpoints.load(path)
