"""``cnn doctor``: a table that fits, one JSON object, and exit code 5 where nothing would work."""

import json
from pathlib import Path

import pytest

from cnncli import diagnosis
from cnncli.errors import MachineError
from tests.cli.test_summary import printed
from tests.conftest import Cnn


def test_every_check_is_in_the_table_and_in_the_json(cnn: Cnn, tmp_path: Path) -> None:
    cache = tmp_path / "a_folder_with_a_long_name" / "of_more_than_a_hundred_characters" / ("\x1b" + "x" * 100)
    done, plain = cnn("doctor", CNN_CACHE=str(cache)), cnn("doctor", "--json", CNN_CACHE=str(cache))
    assert (done.returncode, done.stderr, plain.returncode) == (0, "", 0)
    assert max(map(len, done.stdout.splitlines())) <= 100
    said = json.loads(plain.stdout)
    assert said["broken"] == []
    assert all(f" {check['name']} " in done.stdout for check in said["checks"])
    assert {check["group"] for check in said["checks"]} >= {"versions", "machine", "places"}
    assert "\x1b" not in done.stdout
    assert "nothing is broken" in done.stdout
    assert not cache.exists()


def test_what_is_broken_is_an_error_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "ESSENTIAL", {"nowhere": "nowhere-at-all"})
    with pytest.raises(MachineError, match="broken: nowhere-at-all; the lines with → say what to do"):
        printed("doctor")
