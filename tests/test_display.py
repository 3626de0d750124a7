"""Bars and results, which must not get into each other's way."""

import io

import pytest
from rich.console import Console

from cnncli.display import Display, print_as_it_comes


def test_results_go_to_stdout_while_a_bar_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Left to itself rich sends them to where the bar is."""
    shown = io.StringIO()
    with Display() as display:
        display.console = Console(file=shown, force_terminal=True)
        print_as_it_comes(f"{number}\n" for number in display.follow(iter(range(3)), None, "numbers"))
    assert capsys.readouterr().out == "0\n1\n2\n"
    assert "numbers" in shown.getvalue()
