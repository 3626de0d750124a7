"""The playground, in Chromium: its formula against torch, and what a mouse and a keyboard do to its window."""

import itertools
import math
import re
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn import functional as F

from cnncli.pages.explain.bundle import bundle, style

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("size", "kernel", "padding", "stride", "dilation")
UNEVEN = (8, 3, 0, 2, 1)
GRID = [
    *itertools.product(range(1, 10), range(1, 5), range(4), range(1, 5), range(1, 4)),
    (224, 11, 2, 4, 1),  # AlexNet's first
    (2, 1, 5, 20, 1),  # whose only window lies in the padding
]


def open_playground(page: "Page", settings: dict[str, Any]) -> None:
    """Open the playground; what it calls ``onChange`` with is in ``window.changes``."""
    start = "window.changes = []; document.body.append(playground(given, (settings) => changes.push(settings)));"
    page.set_content(
        f"<!doctype html><style>{style()}</style><body></body>"
        f"<script type=module>{bundle(['playground.js'])}const given = {settings}; {start}</script>"
    )


def named(*settings: int) -> dict[str, int]:
    return dict(zip(NAMES, settings, strict=True))


def say_of(page: "Page", function: str, settings: list[tuple[int, ...]]) -> list[Any]:
    """Call a function of coverage.js for each of the settings."""
    page.set_content(f"<script type=module>{bundle(['coverage.js'])}window.called = {function};</script>")
    called: list[Any] = page.evaluate("(all) => all.map((settings) => called(settings))", [named(*s) for s in settings])
    return called


def test_what_is_never_read_has_no_gradient_in_torch(page: "Page") -> None:
    """A pixel that no window reads has none of the sum of all outputs; and torch refuses kernels that do not fit."""
    for coverage, settings in zip(say_of(page, "coverageOf", GRID), GRID, strict=True):
        size, kernel, padding, stride, dilation = settings
        padded = torch.ones(1, 1, size + 2 * padding, size + 2 * padding, requires_grad=True)
        weights = torch.ones(1, 1, kernel, kernel)
        if coverage["windows"] == 0:
            with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
                F.conv2d(padded, weights, stride=stride, dilation=dilation)
            continue
        output = F.conv2d(padded, weights, stride=stride, dilation=dilation)
        (reads,) = torch.autograd.grad(output.sum(), padded)
        unread = (reads[0, 0].sum(0) == 0).nonzero().flatten() - padding
        assert (coverage["windows"], coverage["unread"]) == (output.shape[-1], unread.tolist()), settings


def test_the_formula_comes_to_torchs_size(page: "Page") -> None:
    for (_, filled, worked, result), settings in zip(say_of(page, "sizeFormula", GRID), GRID, strict=True):
        windows = int(result.replace("−", "-"))
        for words in (filled, worked):
            python = words.translate(str.maketrans({"⌊": "math.floor(", "⌋": ")", "·": "*", "−": "-"}))
            assert eval(python, {"math": math}) == windows, settings
        size, kernel, padding, stride, dilation = settings
        if windows > 0:
            image, weights = (torch.empty(1, 1, side, side, device="meta") for side in (size, kernel))
            assert F.conv2d(image, weights, None, stride, padding, dilation).shape[-1] == windows, settings


def test_the_padding_that_it_names_keeps_the_size(page: "Page") -> None:
    for sentences, settings in zip(say_of(page, "coverageWords", GRID), GRID, strict=True):
        size, kernel, _, stride, dilation = settings
        found = re.search(r"p = (?:.* = )?(\d+)(?:, keeps| gives)|(\d+) before and (\d+) after", sentences[-1])
        assert found is not None, sentences
        both, before, after = (None if part is None else int(part) for part in found.groups())
        ends = (before, after) if both is None else (both, both)
        image = F.pad(torch.ones(1, 1, size, size), (*ends, *ends))  # type: ignore[arg-type]
        output = F.conv2d(image, torch.ones(1, 1, kernel, kernel), stride=stride, dilation=dilation)
        assert output.shape[-1] == math.ceil(size / stride), settings
        assert (both is None) == (stride == 1 and dilation * (kernel - 1) % 2 == 1)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (UNEVEN, "5 / 2 does not divide evenly: the last 1 row and column are never read."),
        ((9, 2, 0, 4, 1), "7 / 4 does not divide evenly: the last 3 rows and columns are never read."),
        ((9, 3, 1, 3, 1), "8 / 3 does not divide evenly: the last 1 row and column are never read, nor is the padding"),
        ((8, 3, 1, 2, 1), "7 / 2 does not divide evenly: the last 1 row and column of the padding are never read;"),
        ((2, 1, 5, 20, 1), "the last 2 rows and columns are never read, nor is the padding after them."),
        ((7, 3, 0, 2, 1), "4 / 2 divides evenly: no row or column is left over at the end."),
        ((7, 1, 0, 2, 1), "Between what the windows read, 3 rows and columns are skipped."),
        ((10, 3, 2, 4, 1), "Between what the windows read, 2 rows and columns are skipped."),  # 1 and 5; 9 is left over
        ((5, 3, 0, 1, 3), "The kernel does not fit: with dilation 3 it spans 7 rows and columns, and the input has 5."),
        (
            (2, 5, 1, 1, 1),
            "The kernel does not fit: it spans 5 rows and columns, and the input with its padding has 4.",
        ),
        ((8, 5, 2, 1, 1), "p = d·(k − 1) / 2 = 1·(5 − 1) / 2 = 2, keeps the size: as is set now."),
        ((8, 4, 0, 1, 1), "d·(k − 1) = 3 is odd, so that no p keeps the size: “same” padding is 1 before and 2 after."),
    ],
)
def test_it_says_what_is_left(settings: tuple[int, ...], expected: str, page: "Page") -> None:
    open_playground(page, named(*settings))
    assert expected in page.inner_text(".pg")
    assert page.locator("step-player").count() == ("does not fit" not in expected)


def test_what_is_skipped_of_the_padding_is_no_loss(page: "Page") -> None:
    open_playground(page, named(10, 3, 2, 3, 2))  # −1 and 10 are
    assert "hatched: never read" in page.inner_text(".pg")
    assert "skipped" not in page.inner_text(".pg")


def test_the_formula_has_the_numbers_filled_in(page: "Page") -> None:
    open_playground(page, named(*UNEVEN))
    assert page.inner_text(".pg-formula") == (
        "⌊(n + 2p − d·(k − 1) − 1) / s⌋ + 1 = ⌊(8 + 2·0 − 1·(3 − 1) − 1) / 2⌋ + 1 = ⌊5 / 2⌋ + 1 = 3"
    )


def test_the_window_goes_where_the_pointer_is(page: "Page") -> None:
    open_playground(page, named(7, 3, 1, 2, 2))  # windows of 5 from −1, 1 and 3: 3 × 3 of them
    side = page.locator(".pg-output").bounding_box()["width"] / 3  # type: ignore[index]
    page.hover(".pg-output", position={"x": 2.5 * side, "y": 1.5 * side})
    assert page.inner_text(".pg-place") == (
        "Output [1, 2] reads input rows 1, 3, 5 and columns 3, 5, 7; those before 0 or after 6 are padding, zeros."
    )
    assert (window_at(page, ".pg-input"), window_at(page, ".pg-output")) == (["3", "1"], ["2", "1"])
    taps = page.get_attribute(".pg-taps", "d") or ""
    corners = {tuple(map(int, corner)) for corner in re.findall(r"M(-?\d+) (-?\d+)", taps)}
    assert corners == set(itertools.product((3, 5, 7), (1, 3, 5)))
    assert page.get_attribute("step-player button", "aria-label") == "Play"  # it stays there


def window_at(page: "Page", drawing: str) -> list[str | None]:
    """Return where a drawing's window is: column and row, in cells."""
    return [page.get_attribute(f"{drawing} .pg-window", axis) for axis in ("x", "y")]


def test_keys_step_and_play(page: "Page") -> None:
    page.clock.install()
    open_playground(page, named(*UNEVEN))
    page.focus(".pg-output")
    for key, place in [("Down", "[1, 0]"), ("Right", "[1, 1]"), ("Up", "[0, 1]"), ("Left", "[0, 0]")]:
        page.keyboard.press(f"Arrow{key}")
        assert page.inner_text(".pg-place").startswith(f"Output {place} reads")
    page.clock.run_for(5000)
    assert page.inner_text(".motion-position") == "1 of 9"
    page.keyboard.press(" ")
    page.clock.run_for(5000)
    assert page.inner_text(".motion-position") == "8 of 9"  # 700 ms each


def test_a_change_is_drawn_and_told(page: "Page") -> None:
    open_playground(page, named(*UNEVEN))
    page.fill("#pg-stride", "1")
    assert page.input_value('input[aria-label="Stride"]') == "1"
    page.focus('input[aria-label="Kernel"]')
    page.keyboard.press("ArrowRight")
    assert page.evaluate("changes.map((settings) => Object.entries(settings))") == [
        [list(pair) for pair in named(8, 3, 0, 1, 1).items()],
        [list(pair) for pair in named(8, 4, 0, 1, 1).items()],
    ]
    assert page.inner_text(".pg-formula").endswith("= 5")
    assert page.input_value("#pg-kernel") == "4"
    assert page.evaluate("document.activeElement.ariaLabel") == "Kernel"


def test_what_is_no_setting_changes_nothing(page: "Page") -> None:
    open_playground(page, named(*UNEVEN))
    for typed in ("", "0", "999", "2.5"):
        page.fill("#pg-kernel", typed)
        page.locator("#pg-kernel").blur()
        assert page.input_value("#pg-kernel") == "3"
    assert page.evaluate("changes") == []


def test_a_link_with_other_numbers_opens_what_is_nearest(page: "Page") -> None:
    open_playground(page, {"size": 10**12, "kernel": -3, "padding": "'<b>'", "stride": 2.5})
    assert [page.input_value(f"#pg-{name}") for name in NAMES] == ["256", "1", "0", "2", "1"]
    assert page.evaluate("changes") == []


def test_a_pause_outlives_a_change(page: "Page") -> None:
    open_playground(page, named(*UNEVEN))
    assert page.get_attribute("step-player button", "aria-label") == "Pause"
    page.click("step-player button")
    page.fill("#pg-size", "9")
    assert page.get_attribute("step-player button", "aria-label") == "Play"


def test_it_starts_paused_where_less_motion_is_preferred(page: "Page") -> None:
    page.emulate_media(reduced_motion="reduce")
    page.clock.install()
    open_playground(page, named(*UNEVEN))
    page.clock.run_for(5000)
    assert page.inner_text(".motion-position") == "1 of 9"


@pytest.mark.parametrize("settings", [(256, 32, 32, 1, 1), (1, 32, 0, 1, 32), UNEVEN])
def test_it_fits_a_phone(settings: tuple[int, ...], page: "Page") -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    open_playground(page, named(*settings))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
