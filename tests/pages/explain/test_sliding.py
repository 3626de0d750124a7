"""A window that slides over a map: where it is outlined, and how mouse, finger and keys move it."""

from typing import TYPE_CHECKING

import pytest

from cnncli.pages.explain.bundle import bundle, style

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIDE = 7  # of the source, with a border of one zero; 3×3 windows two apart make a result of 4×4


@pytest.fixture
def view(page: "Page") -> "Page":
    """Open a page where ``show(place, dilation)`` shows such a window, and ``noted`` are the places that it wrote."""
    page.clock.install()
    page.set_content(
        f"<style>{style()}</style><body></body><script type=module>{bundle(['sliding.js', 'colours.js'])}"
        f"const values = Float32Array.from({{ length: {SIDE * SIDE} }}, (_, n) => n - 20);"
        "const scale = scaleOf(values);"
        "window.noted = [];"
        "window.show = (place, dilation = 1) => {"
        "  const geometry = { kernel: [3, 3], stride: [2, 2], padding: [1, 1], dilation: [dilation, dilation] };"
        f"  const windowOf = (row, column) => windowAt(values, {SIDE}, {SIDE}, geometry, row, column);"
        f"  const from = {{ values, height: {SIDE}, width: {SIDE}, scale, label: 'from', padding: [1, 1] }};"
        "  const sources = [{ ...from, windowOf }];"
        f"  const side = outputSide({SIDE}, geometry, 0);"
        "  const made = values.subarray(0, side * side);"
        "  const result = { values: made, height: side, width: side, scale, label: 'to' };"
        "  const numbers = (row, column) => element('p', {}, `${row},${column}`);"
        "  const note = (where) => noted.push(where);"
        "  document.body.replaceChildren(sliding({ sources, result, numbers, place, note }));"
        "};</script>"
    )
    return page


def place(page: "Page") -> str:
    return page.inner_text(".sliding-numbers")


def outlines(page: "Page") -> list[str | None]:
    """Return what is outlined of the source and of the result."""
    return [outline.get_attribute("d") for outline in page.locator(".marked-window").all()]


def middle(page: "Page", number: int, row: int, column: int, cells: int) -> tuple[float, float]:
    """Return where on the page the middle of a cell is, of a map that has ``cells`` a side."""
    box = page.locator(".marked > div > canvas").nth(number).bounding_box()
    assert box is not None
    return box["x"] + (column + 0.5) * box["width"] / cells, box["y"] + (row + 0.5) * box["height"] / cells


def test_it_plays_from_the_first_place_unless_one_is_given(view: "Page") -> None:
    view.evaluate("show(null)")
    assert place(view) == "0,0"
    view.clock.run_for(5 * 700)
    assert place(view) == "1,1"
    view.evaluate("show([2, 3])")
    view.clock.run_for(5 * 700)
    assert place(view) == "2,3"


def test_the_window_is_outlined_in_the_padding_too(view: "Page") -> None:
    view.evaluate("show([0, 1])")
    assert outlines(view) == ["M1 -1h3v3h-3z", "M1 0h1v1h-1z"]


def test_cells_of_a_dilated_window_are_outlined_one_by_one(view: "Page") -> None:
    view.evaluate("show([0, 0], 2)")
    source, _ = outlines(view)
    assert source is not None
    assert source.split("h1v1h-1z")[:-1] == [f"M{x} {y}" for y in (-1, 1, 3) for x in (-1, 1, 3)]


def test_the_mouse_moves_it_on_either_map_and_pauses(view: "Page") -> None:
    view.evaluate("show(null)")
    view.mouse.move(*middle(view, 1, 3, 2, cells=4))
    assert place(view) == "3,2"
    view.mouse.move(*middle(view, 0, 5, 8, cells=SIDE + 2))  # row 4 and the padding: windows around 4 and the last, 6
    assert place(view) == "2,3"
    view.clock.run_for(5000)
    assert place(view) == "2,3"


def test_a_tap_moves_it(view: "Page") -> None:
    view.evaluate("show([0, 0])")
    x, y = middle(view, 1, 1, 1, cells=4)
    view.locator(".marked > div > canvas").nth(1).dispatch_event("click", {"clientX": x, "clientY": y})
    assert place(view) == "1,1"


def test_keys_move_it_and_the_place_is_noted_when_they_rest(view: "Page") -> None:
    view.evaluate("show([1, 1])")
    view.focus(".sliding")
    for key in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowUp"):
        view.keyboard.press(key)
    assert place(view) == "0,2"
    assert view.evaluate("noted") == []
    view.clock.run_for(400)
    assert view.evaluate("noted") == [[0, 2]]


def test_nothing_is_noted_while_it_plays_or_when_it_is_gone(view: "Page") -> None:
    view.evaluate("show([1, 1])")
    view.focus(".sliding")
    view.keyboard.press("Space")
    view.clock.run_for(1000)
    assert view.evaluate("noted") == []
    view.keyboard.press("Space")
    view.evaluate("document.body.replaceChildren()")
    view.clock.run_for(1000)
    assert view.evaluate("noted") == []


def test_it_starts_paused_where_less_motion_is_preferred(view: "Page") -> None:
    view.emulate_media(reduced_motion="reduce")
    view.evaluate("show(null)")
    view.clock.run_for(5000)
    assert place(view) == "0,0"
