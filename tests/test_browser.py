"""That the fixture ``page`` notices what goes wrong in a page."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CAUGHT = {
    "console.error('broken')": "broken",
    "console.warn('odd')": "odd",
    "throw new Error('thrown')": "thrown",
    "Promise.reject(new Error('rejected'))": "rejected",
    "new Image().src = 'http://127.0.0.1:9/x.png'": "asked for http://127.0.0.1:9/x.png",
    "new Image().src = 'other.png'": "other.png",
}


def look_at(path: Path, chromium: "Browser") -> None:
    with watched(chromium) as page:
        page.goto(path.as_uri())
        page.wait_for_timeout(100)


@pytest.mark.parametrize("script", CAUGHT)
def test_what_goes_wrong_in_a_page_is_noticed(script: str, chromium: "Browser", tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<script type=module>{script}</script>")
    with pytest.raises(AssertionError, match=CAUGHT[script]):
        look_at(tmp_path / "page.html", chromium)


def test_a_page_may_hold_pictures_of_its_own(page: "Page", tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        "<canvas width=1 height=1></canvas><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"
        "<script>const picture = new Image();"
        "document.querySelector('canvas').toBlob((blob) => { picture.src = URL.createObjectURL(blob); });"
        "picture.onload = () => { document.title = picture.src; };</script>"
    )
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_function("document.title.startsWith('blob:')")
