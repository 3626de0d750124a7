"""Libraries that only some commands need, and that are installed only where they are asked for."""

import importlib
from types import ModuleType

from cnncli.errors import MachineError


def needed(module: str, extra: str) -> ModuleType:
    """Import a library; ``MachineError`` with the command that installs it where it is missing.

    ``extra`` is the group of pyproject.toml that it belongs to.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:  # it is there, and lacks something of its own
            raise
        raise MachineError(f"{error.name} is not installed; this needs: pip install 'cnncli[{extra}]'") from None
