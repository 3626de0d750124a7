"""Elements built from strangers' strings, and their attributes."""

from typing import TYPE_CHECKING

import pytest

from cnncli.pages.explain.bundle import bundle

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def dom(page: "Page") -> "Page":
    """Open a page that has ``element`` and ``svg``."""
    page.set_content(f"<script type=module>{bundle(['dom.js'])}Object.assign(window, {{ element, svg }});</script>")
    return page


@pytest.mark.parametrize("name", ["</script><b>", '"><img src=x onerror=alert(1)>', "&amp;"])
def test_strings_are_text(name: str, dom: "Page") -> None:
    made = dom.evaluate(
        "(name) => { const made = element('p', { title: name, 'aria-label': name }, name, [svg('text', {}, name)]);"
        " document.body.append(made);"
        " return [made.textContent, made.title, made.ariaLabel, made.querySelectorAll('*').length]; }",
        name,
    )
    assert made == [name * 2, name, name, 1]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("element('p', null, 'a', 1, null, undefined, false, 0)", "<p>a10</p>"),
        ("element('b', { class: 'x', dataset: { row: 2 }, title: null })", '<b class="x" data-row="2"></b>'),
        ("element('b', { style: { '--p': 2, fontSize: '3px' } })", '<b style="--p: 2; font-size: 3px;"></b>'),
        ("element('b', { hidden: false, 'aria-pressed': false })", '<b aria-pressed="false"></b>'),
        ("svg('g', { class: 'x', style: { fill: 'red' } })", '<g class="x" style="fill: red;"></g>'),
    ],
)
def test_attributes_and_children(script: str, expected: str, dom: "Page") -> None:
    assert dom.evaluate(f"{script}.outerHTML") == expected


def test_functions_listen(dom: "Page") -> None:
    assert (
        dom.evaluate(
            "() => { let clicks = 0;"
            " element('button', { onclick: () => clicks++ }).click();"
            " svg('g', { onclick: () => clicks++ }).dispatchEvent(new Event('click'));"
            " return clicks; }"
        )
        == 2
    )


def test_a_selects_value_finds_its_option(dom: "Page") -> None:
    options = "element('option', { value: 'a' }), element('option', { value: 'b' })"
    assert dom.evaluate(f"element('select', {{ value: 'b' }}, {options}).value") == "b"
