"""Chromium, driven as a person would by playwright, for pages that have scripts."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDED = "needs Chromium: apt-get install chromium"
FLAGS = ("--no-sandbox",)  # for whoever is root; the pages are our own


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Start a Chromium that shows nothing; skip the test where there is none."""
    if CHROMIUM is None:
        pytest.skip(NEEDED)
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser,
    ):
        yield browser


@contextmanager
def watched(browser: "Browser") -> Iterator["Page"]:
    """Open an empty page; at the end nothing may have gone wrong in it, and it may have asked nobody for anything."""
    wrong: list[str] = []
    with browser.new_context() as context:
        context.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        context.on("request", lambda asked: None if _of_its_own(asked) else wrong.append(f"asked for {asked.url}"))
        yield context.new_page()
    assert not wrong, wrong


def _of_its_own(request: "Request") -> bool:
    opened = request.is_navigation_request() and request.url.startswith("file:")
    return opened or request.url.startswith(("data:", "blob:"))
