"""What the environment says of ranks."""

import pytest

from cnncli import ranks
from cnncli.errors import MachineError

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def test_a_process_that_nobody_launched_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert (ranks.rank(), ranks.world_size(), ranks.local_rank(), ranks.local_world_size()) == (0, 1, 0, 1)
    assert ranks.mark() == ""


def test_torchrun_gives_four_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number in zip(NAMES, ("11", "16", "3", "8"), strict=True):
        monkeypatch.setenv(name, number)
    assert (ranks.rank(), ranks.world_size(), ranks.local_rank(), ranks.local_world_size()) == (11, 16, 3, 8)
    assert ranks.mark() == "[rank 11] "


@pytest.mark.parametrize("text", ["", "-1", "one"])
def test_what_is_no_number_is_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", text)
    with pytest.raises(MachineError, match=f"WORLD_SIZE is '{text}' in the environment"):
        ranks.world_size()
