"""What is installed is imported, and what is not is said with the command that installs it."""

import json
import sys
from pathlib import Path

import pytest

from cnncli.errors import MachineError
from cnncli.extras import needed


def test_a_library_that_is_there_is_returned() -> None:
    assert needed("json", "export") is json


def test_a_missing_library_is_a_message_with_the_remedy() -> None:
    with pytest.raises(MachineError, match=r"^nowhere is not installed; this needs: pip install 'cnncli\[export\]'$"):
        needed("nowhere.at_all", "export")


def test_what_a_library_lacks_itself_is_not_called_missing_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halfway.py").write_text("import nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        needed("halfway", "export")
    sys.modules.pop("halfway", None)
