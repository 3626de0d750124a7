"""The controls of animations: the time they keep, their keys, and that they end with their element."""

from typing import TYPE_CHECKING, Any

import pytest

from cnncli.pages.explain.bundle import bundle

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def shown(page: "Page") -> "Page":
    """Open a page with 12 frames of 700 ms, in 4 columns, and a field; the frames shown are in ``window.frames``."""
    page.clock.install()
    page.set_content(
        f"<body></body><script type=module>{bundle(['motion.js'])}"
        "Object.assign(window, { player, frames: [] });"
        "window.motion = player(12, (index) => frames.push(index), { columns: 4 });"
        "const field = element('input', { type: 'number', value: 3 });"
        "const view = element('section', { tabIndex: 0 }, field, motion);"
        "motion.obey(view);"
        "document.body.append(view);</script>"
    )
    return page


def take_frames(page: "Page") -> list[int]:
    frames: list[int] = page.evaluate("frames.splice(0)")
    return frames


def state(page: "Page") -> Any:
    return page.evaluate("[motion.index, motion.playing]")


def test_it_plays_round_and_round(shown: "Page") -> None:
    shown.clock.run_for(13 * 700)
    assert take_frames(shown) == [*range(12), 0, 1]
    shown.click("step-player button")  # which pauses
    shown.clock.run_for(5000)
    assert take_frames(shown) == []
    assert state(shown) == [1, False]


def test_many_frames_take_less_time_each(shown: "Page") -> None:
    shown.evaluate("motion.replaceWith(player(100, (index) => frames.push(index)))")
    take_frames(shown)
    shown.clock.run_for(2000)
    assert take_frames(shown) == list(range(1, 11))  # 20 s for all


def test_a_view_that_is_gone_draws_nothing_and_plays_on_when_it_is_back(shown: "Page") -> None:
    shown.evaluate("motion.remove()")
    take_frames(shown)
    shown.clock.run_for(5000)
    assert take_frames(shown) == []
    shown.evaluate("document.body.append(motion)")
    shown.clock.run_for(1400)
    assert take_frames(shown) == [0, 1, 2]


@pytest.mark.parametrize("focused", ["section", "step-player input", "step-player button"])
def test_arrows_go_a_frame_or_a_row_and_stay_there(focused: str, shown: "Page") -> None:
    shown.focus(focused)
    for key, index in [("ArrowDown", 4), ("ArrowRight", 5), ("ArrowUp", 1), ("ArrowLeft", 0), ("ArrowLeft", 0)]:
        shown.keyboard.press(key)
        assert state(shown) == [index, False]
    shown.evaluate("motion.goTo(99)")
    assert state(shown) == [11, False]


@pytest.mark.parametrize("focused", ["section", "step-player input", "step-player button"])
def test_space_plays_and_pauses(focused: str, shown: "Page") -> None:
    shown.focus(focused)
    shown.keyboard.press(" ")
    assert state(shown) == [0, False]
    shown.keyboard.press(" ")
    assert state(shown) == [0, True]


def test_keys_in_a_field_are_the_fields(shown: "Page") -> None:
    shown.focus("input[type=number]")
    shown.keyboard.press("ArrowUp")
    shown.keyboard.press(" ")
    assert shown.input_value("input[type=number]") == "4"
    assert state(shown) == [0, True]


def test_the_buttons_and_the_slider_go_where_they_say(shown: "Page") -> None:
    shown.get_by_label("Step on").click()
    shown.keyboard.press(" ")  # which presses the button again
    assert state(shown) == [2, False]
    shown.get_by_label("Step back").click()
    assert state(shown) == [1, False]
    shown.locator("step-player input").fill("7")
    assert state(shown) == [7, False]
    assert shown.inner_text(".motion-position") == "8 of 12"


def test_one_frame_does_not_play(shown: "Page") -> None:
    assert shown.evaluate("player(1, () => {}).playing") is False
