"""Addresses within the explain page: each is read as it is written."""

from typing import TYPE_CHECKING, Any

import pytest

from cnncli.pages.explain.bundle import bundle

if TYPE_CHECKING:
    from playwright.sync_api import Page

NOWHERE = {"id": None, "unit": None, "place": None, "source": None, "rest": [], "image": 0}


@pytest.fixture
def routes(page: "Page") -> "Page":
    names = "{ parseRoute, formatRoute }"
    page.set_content(f"<script type=module>{bundle(['routes.js'])}Object.assign(window, {names});</script>")
    return page


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("#", {"page": "overview", "path": ""}),
        ("#?image=1", {"page": "overview", "path": "", "image": 1}),
        ("#conv1", {"page": "part", "id": "conv1"}),
        ("#leaky_relu2/0", {"page": "part", "id": "leaky_relu2", "unit": 0}),
        ("#conv1/3/formula/4,5", {"page": "part", "id": "conv1", "unit": 3, "place": [4, 5]}),
        (
            "#conv1/3/formula/4,5/2?image=2",
            {"page": "part", "id": "conv1", "unit": 3, "place": [4, 5], "source": 2, "image": 2},
        ),
        ("#playground/8/3/0/2/1", {"page": "playground", "rest": ["8", "3", "0", "2", "1"]}),
        ("#editor", {"page": "editor"}),
        ("#selftest", {"page": "selftest"}),
    ],
)
def test_an_address_is_read_and_written_alike(address: str, expected: dict[str, Any], routes: "Page") -> None:
    route = routes.evaluate("parseRoute", address)
    assert route == {**NOWHERE, "path": address[1:].partition("?")[0], **expected}
    assert routes.evaluate("formatRoute", route) == address


@pytest.mark.parametrize(
    "address", ["#conv1/x", "#conv1/3/formula", "#conv1/3/formula/4", "#conv1/-1", "#a b", "#%", "#1"]
)
def test_an_address_that_leads_nowhere_is_known_as_such(address: str, routes: "Page") -> None:
    assert routes.evaluate("parseRoute", address) == {**NOWHERE, "page": "unknown", "path": address[1:]}
    assert routes.evaluate("formatRoute", {"page": "unknown", "path": address[1:]}) == address


def test_an_address_may_be_escaped(routes: "Page") -> None:
    assert routes.evaluate("parseRoute", "#conv1/3/formula/4%2C5")["place"] == [4, 5]
