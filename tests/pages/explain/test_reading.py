"""What is read back from a page is what it was written of, to the bit; a damaged page is an error that says so."""

import json
import re
import zlib
from base64 import b64decode, b64encode
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cnncli.analysis.explanation import Explanation, View, explain, results
from cnncli.errors import DataError
from cnncli.pages.explain.reading import read_page
from tests.analysis.test_explanation import Masked
from tests.pages.explain.pages import SIZES, Written, written, written_of


def read(page: Written, folder: Path) -> Explanation:
    path = folder / "explain.html"
    path.write_text(page.html, encoding="utf-8")
    return read_page(path)


def assert_same(ours: View, theirs: View) -> None:
    assert (ours.name, ours.label, ours.checks) == (theirs.name, theirs.label, theirs.checks)
    for name in ("outputs", "others"):
        tensors: dict[int, Tensor] = getattr(theirs, name)
        assert getattr(ours, name).keys() == tensors.keys()
        for number, tensor in tensors.items():
            assert torch.equal(getattr(ours, name)[number].view(torch.int32), tensor.view(torch.int32))
    assert (ours.cam is None) == (theirs.cam is None)
    assert ours.cam is None or (theirs.cam is not None and torch.equal(ours.cam, theirs.cam))
    for number, sheet in theirs.sheets.items():
        step = (sheet.max() - sheet.min()).item() / 255
        torch.testing.assert_close(ours.sheets[number], sheet, rtol=0, atol=step * 0.51 + 1e-6)


@pytest.mark.parametrize("name", SIZES)
def test_a_page_is_read_back_to_the_bit(name: str, tmp_path: Path) -> None:
    page = written(name, num_images=2, labels=(3,), cam=True)
    explanation = read(page, tmp_path)
    theirs = page.explanation
    assert explanation.num_weights == theirs.num_weights
    assert explanation.is_editable == theirs.is_editable
    assert explanation.left_out == theirs.left_out
    for ours, part in zip(explanation.parts, theirs.parts, strict=True):
        plain = [field.name for field in fields(part) if field.name != "operation"]
        assert [getattr(ours, key) for key in plain] == [getattr(part, key) for key in plain]
        assert (ours.operation.kind, ours.operation.options) == (part.operation.kind, part.operation.options)
        assert ours.operation.tensors.keys() == part.operation.tensors.keys()
        assert all(
            torch.equal(ours.operation.tensors[key], part.operation.tensors[key]) for key in part.operation.tensors
        )
    for ours_of, view, image in zip(explanation.views, theirs.views, page.images, strict=True):
        assert_same(ours_of, view)
        values = results(explanation, ours_of)
        assert torch.equal(values[0], image)
        assert all(torch.equal(*pair) for pair in zip(values, results(theirs, view), strict=True))


def test_numbers_that_are_not_finite_survive(tmp_path: Path) -> None:
    image = torch.tensor([[[[1.0, -1.0], [-0.0, 1e-42]]]])
    page = written_of(Masked(), image)
    (view,) = read(page, tmp_path).views
    assert_same(view, page.explanation.views[0])
    assert view.outputs[2][0, 0, 1] == float("-inf")


def test_a_contact_sheet_shows_finite_numbers_only(tmp_path: Path) -> None:
    """NaN and −∞ are as dark as the least, ∞ is as bright as the largest; where none is finite, all are 0."""
    inf, nan = float("inf"), float("nan")
    sheets = {0: torch.tensor([1, -1, inf, nan, -inf, 3.0]), 1: torch.tensor([nan, inf]), 2: torch.full((4,), 5.0)}
    explanation = Explanation([], [View("a", None, {}, {}, sheets, {})], False, 0)
    path = tmp_path / "explain.html"
    path.write_text(written_html(explanation))
    (view,) = read_page(path).views
    assert view.sheets[0].tolist() == pytest.approx([1, -1, 3, -1, -1, 3], abs=0.01)
    assert view.sheets[1].tolist() == [0, 0]
    assert view.sheets[2].tolist() == [5] * 4


def damaged(html: str) -> dict[str, str]:
    manifest = re.search(r'id="manifest">([^<]*)<', html)
    image = re.search(r'id="image-0">([^<]*)<', html)
    assert manifest
    assert image
    plain = json.loads(manifest[1])
    short = b64encode(zlib.compress(zlib.decompress(b64decode(image[1]))[:-1000])).decode()
    return {
        "another page": "<!doctype html><p>Hello</p>",
        "empty": "",
        "cut short": html[: html.index('id="image-0"')],
        "manifest cut": html.replace(manifest[1], manifest[1][:-10]),
        "manifest of something else": html.replace(manifest[1], "[1, 2]"),
        "no parts": html.replace(manifest[1], json.dumps({**plain, "parts": None})),
        "a part lacks its name": html.replace('"name":""', '"nome":""'),
        "blob no base64": html.replace(image[1], image[1][:-7]),
        "blob no deflate": html.replace(image[1], b64encode(b"something else").decode()),
        "blob too short": html.replace(image[1], short),
        "no blob": html.replace('id="image-0"', 'id="image-7"'),
    }


@pytest.mark.parametrize("kind", damaged(written().html))
def test_damage_is_an_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "explain.html"
    path.write_text(damaged(written().html)[kind], encoding="utf-8")
    with pytest.raises(DataError, match=r"explain\.html: no page of cnn explain, or a damaged one"):
        read_page(path)


def test_a_page_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "picture.html").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="no page of cnn explain"):
        read_page(tmp_path / "picture.html")


def test_another_format_is_told_from_damage(tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text(written().html.replace('"format":1', '"format":0'))
    with pytest.raises(DataError, match="another version of cnncli"):
        read_page(tmp_path / "old.html")


def test_names_of_strangers_are_read_as_they_were(tmp_path: Path) -> None:
    name = '</script><b>&amp;\u2028\udce9".png'
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    page = written_of(model, torch.ones(1, 1, 2, 2), ("<img onerror>", "b"))
    explanation = explain(model.eval(), torch.ones(1, 1, 2, 2), [name], [0])
    spelled = Written(model, page.images, explanation, written_html(explanation))
    assert read(spelled, tmp_path).views[0].name == name
    assert "<b>" not in spelled.html
    assert "<img onerror" not in page.html


def written_html(explanation: Explanation) -> str:
    from cnncli.checkpoint import Checkpoint
    from cnncli.pages.explain import page_of

    preprocess = {"size": 2, "channels": 1, "mean": [0.5], "std": [0.5]}
    return page_of(explanation, Checkpoint("net", {}, {}, ["a", "b"], preprocess, {}, {}), "best.pt")
