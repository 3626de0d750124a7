"""Paths in a config: relative to the working directory, and noted absolute."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field


def absolute(path: str) -> str:
    """Return a path of a config, which is relative to the working directory, as a run directory notes it."""
    return str(Path(os.path.expanduser(path)).absolute())  # noqa: PTH111  # which leaves ~ of nobody's as it is


FilePath = Annotated[
    str,
    Field(min_length=1, description="a file; relative to the working directory, noted absolute"),
    AfterValidator(absolute),
]
FolderPath = Annotated[
    str,
    Field(min_length=1, description="a folder; relative to the working directory, noted absolute"),
    AfterValidator(absolute),
]
