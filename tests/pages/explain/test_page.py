"""The whole page: every address opens, none asks for anything, strangers' names are text, keys, dark, narrow."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnncli.pages.explain.bundle import bundle, style
from cnncli.text import one_line
from tests.browser import watched
from tests.pages.explain.pages import SIZES, moved, opened, written

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = (
    "</script><b>",
    '"><img src=x onerror=alert(1)>',
    "<!--",
    "&lt;b&gt;",
    "a\u202eb",
    "__proto__",
    "${x}",
    "x" * 200,
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name.endswith("resnet18") else name for name in SIZES]
)
def test_every_part_has_a_view(name: str, page: "Page", tmp_path: Path) -> None:
    made = written(name, num_images=1)
    opened(page, tmp_path, made)
    parts = made.explanation.parts
    kinds = {part.operation.kind: part for part in parts}
    for part in parts if len(parts) < 100 else kinds.values():
        moved(page, f"#{part.id}")
        assert page.locator("#panel h2").inner_text().split()[0] == part.id
        assert page.locator("#panel [role=alert]").count() == 0
        unit = part.units[-1] if part.units else part.shape[0] - 1
        sides = part.shape[1:] or [1, 1]
        moved(page, f"#{part.id}/{unit}/formula/{sides[0] - 1},{sides[-1] - 1}")
        assert page.locator("#panel [role=alert]").count() == 0


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ("#conv9", "There is no layer conv9 in this network."),
        ("#conv1/6", "conv1 has 6 maps, from 0 on: there is no number 6."),
        ("#dense1/120", "dense1 has 120 neurons, from 0 on: there is no number 120."),
        ("#conv1/0/formula/28,0", "The maps of conv1 are 28×28: there is no row 28, column 0."),
        ("#conv1/zero", "“conv1/zero” leads nowhere on this page."),
        ("#</script><b>", "“</script><b>” leads nowhere on this page."),
        ("#?image=1", "There is no image 1 here: they are 0 to 0."),
    ],
)
def test_an_address_that_leads_nowhere_says_so(route: str, words: str, page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"))
    moved(page, route)
    assert page.inner_text("#panel [role=alert]") == words
    page.click("#panel a")
    page.locator("#panel [role=alert]").wait_for(state="detached")


def test_a_unit_that_is_left_out_and_an_editor_that_is_not_there_are_said(page: "Page", tmp_path: Path) -> None:
    made = written("alexnet")
    part = next(part for part in made.explanation.parts if part.id == "conv1")
    unit = next(unit for unit in range(96) if unit not in (part.units or []))
    opened(page, tmp_path, made, f"#conv1/{unit}")
    assert "cnn explain --units all" in page.inner_text("#panel [role=alert]")
    moved(page, "#editor")
    assert "The editor is for networks" in page.inner_text("#panel [role=alert]")
    assert page.get_by_role("link", name="Editor").count() == 0


def test_class_names_of_strangers_are_text(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5", classes=HOSTILE, labels=(0,), num_images=2, cam=True)
    opened(page, tmp_path, made)
    said = page.locator('.block[aria-label="softmax"] a span:first-child').evaluate_all(
        "all => all.map((e) => e.textContent)"
    )
    assert said == list(map(one_line, HOSTILE))  # nor does any turn the direction of the numbers beside it
    for route in ("#softmax/1", "#dense3/1", "#editor", "#softmax/0?image=1"):
        moved(page, route)
        assert page.locator("img, b b, script:not([type])").count() == 0
    assert page.evaluate("document.querySelectorAll('script').length") == 1 + 3 + 1  # manifest, blobs, the page's own


def test_the_playground_notes_its_settings_in_the_address(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"), "#conv2/3")
    page.get_by_role("link", name="try other sizes").click()
    page.locator(".pg").wait_for()
    assert page.evaluate("location.hash") == "#playground/14/5/0/1/1"
    page.fill("#pg-padding", "2")
    assert page.evaluate("location.hash") == "#playground/14/5/2/1/1"
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.input_value("#pg-padding") == "2"


def test_an_edit_is_seen_in_the_overview(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"), "#editor")
    before = page.locator('.block[aria-label="conv1"] canvas').first.evaluate("c => c.toDataURL()")
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("Edited: all numbers are computed anew.").wait_for()
    assert page.locator('.block[aria-label="conv1"] canvas').first.evaluate("c => c.toDataURL()") != before


def test_the_panel_leads_on_and_closes(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5", num_images=2), "#conv1/3?image=1")
    page.get_by_role("link", name="relu1 ›").click()
    page.get_by_role("link", name="‹ conv1").wait_for()
    assert page.evaluate("location.hash") == "#relu1?image=1"
    page.get_by_label("Shown").select_option("4")
    assert page.evaluate("location.hash") == "#relu1/4?image=1"
    assert page.get_by_role("link", name="Playground").get_attribute("href") == "#playground?image=1"
    page.get_by_role("link", name="Close").click()
    assert page.evaluate("location.hash") == "#?image=1"
    page.locator("#panel > *").first.wait_for(state="detached")


def test_keys_are_shown_at_a_question_mark(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"), "#conv1")
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert page.evaluate("location.hash") == "#conv1"


def test_colours_follow_light_and_dark(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made, "#relu1/0")
    relu = page.locator('.block[aria-label="relu1"] canvas')
    light = relu.first.evaluate("c => c.toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert relu.first.evaluate("c => c.toDataURL()") != light
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"


@pytest.mark.parametrize(
    "route", ["", "#conv2/3", "#flatten/7", "#dense1/3", "#softmax", "#editor", "#playground", "#selftest"]
)
def test_a_phone_shows_it_without_scrolling_sideways(route: str, chromium: "Browser", tmp_path: Path) -> None:
    with watched(chromium) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        opened(page, tmp_path, written("lenet5", cam=True, num_images=2, labels=(0,)), route)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_policy_forbids_whatever_is_not_in_the_page() -> None:
    html = written("lenet5").html
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in html
    assert html.index("Content-Security-Policy") < html.index("<style>")
    assert "innerHTML" not in bundle()
    assert "http" not in style()
