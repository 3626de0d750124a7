"""Flattening, neurons and probabilities in the page, read as its users do, against PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from cnncli.registry import MODELS
from tests.pages.explain.numbers import numbers
from tests.pages.explain.pages import opened, pictures, written, written_of

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_logit_is_a_sum_that_adds_up(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg")
    opened(page, tmp_path, made, "#dense1/2")
    shown_sum, bias, logit = numbers(page.inner_text(".dense-total"))
    assert shown_sum + bias == pytest.approx(logit, abs=2e-4)  # four digits are shown
    assert logit == pytest.approx(made.model(made.images)[0, 2].item(), abs=1e-4)
    shares = [numbers(row)[-1] for row in page.locator(".dense-pictures tbody tr").all_inner_texts()]
    assert len(shares) == 10
    assert sum(shares) == pytest.approx(shown_sum, abs=1e-3)


def test_the_terms_of_a_neuron_are_its_values_times_its_weights(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made, "#dense2/5")
    layer = made.model.get_submodule("classifier.3")
    with torch.no_grad():
        values = made.model.classifier[:3](made.model.features(made.images))[0]  # type: ignore[index,operator,union-attr]
    products = values * layer.weight[5].detach()  # type: ignore[index,union-attr]
    largest = products.abs().argsort(descending=True)[:3]
    rows = page.locator(".dense-terms tbody tr").all_inner_texts()
    for place, row in zip(largest.tolist(), rows, strict=False):
        assert row.startswith(f"neuron {place}")
        assert numbers(row)[-1] == pytest.approx(products[place].item(), abs=1e-4)
    *rest, total = (numbers(row)[-1] for row in page.locator(".dense-terms tfoot tr").all_inner_texts())
    assert sum(numbers(row)[-1] for row in rows) + sum(rest) == pytest.approx(total, abs=2e-3)


def test_units_that_are_not_shown_are_one_term(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5", units=3)
    opened(page, tmp_path, made, "#dense3/1")
    shown_sum, others, bias, logit = numbers(page.inner_text(".dense-total"))
    assert shown_sum + others + bias == pytest.approx(logit, abs=3e-4)
    assert logit == pytest.approx(made.model(made.images)[0, 1].item(), abs=1e-4)
    assert page.locator(".dense-terms tfoot tr").first.inner_text().startswith("other units")


def test_pointing_at_a_pixel_reads_its_term_and_a_click_leads_to_its_map(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg")
    opened(page, tmp_path, made, "#dense1/4")
    value_picture, weight_picture, _ = page.locator(".dense-pictures tbody tr").nth(2).locator("canvas").all()
    weight_picture.hover(position={"x": 1, "y": 1})
    value, weight, term = numbers(page.inner_text(".dense [aria-live]"))[-3:]
    with torch.no_grad():
        maps = made.model.features(made.images)[0]  # type: ignore[operator]
    side = maps.shape[-1]
    assert value == pytest.approx(maps[2, 0, 0].item(), abs=1e-4)
    expected = made.model.get_parameter("classifier.1.weight")[4, 2 * side * side].item()
    assert weight == pytest.approx(expected, abs=1e-4)
    assert term == pytest.approx(value * weight, abs=1e-4)
    value_picture.click(position={"x": 1, "y": 1})
    assert page.evaluate("location.hash") == "#pool2/2/formula/0,0"


def test_radial_units_are_distances_from_drawings_of_digits(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5_1998")
    opened(page, tmp_path, made, "#rbf1/3")
    assert numbers(page.inner_text(".dense-total"))[-1] == pytest.approx(made.model(made.images)[0, 3].item(), rel=1e-3)
    code = page.locator(".dense-pictures tbody canvas").nth(1)
    assert code.evaluate("canvas => [canvas.height, canvas.width]") == [12, 7]


def test_flattened_values_are_found_in_their_maps(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg")
    opened(page, tmp_path, made, "#flatten/30")
    side = int(made.explanation.parts[-4].shape[-1])
    unit, within = divmod(30, side * side)
    with torch.no_grad():
        value = made.model.features(made.images)[0].flatten()[30].item()  # type: ignore[operator]
    said = numbers(page.inner_text(".flatten-formula"))
    row, column = divmod(within, side)
    assert said[:4] == [30, row, column, unit]
    assert said[4:10] == [unit, side * side, row, side, column, 30]
    assert said[10] == pytest.approx(value, abs=1e-4)
    page.locator(".flatten-maps canvas").nth(1).hover(position={"x": 1, "y": 1})
    assert page.inner_text(".flatten-formula").startswith(f"Value {side * side} is row 0, column 0 of map 1,")
    assert page.evaluate("location.hash") == f"#flatten/{side * side}"


def test_probabilities_are_shares_of_exp(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5", classes=tuple("abcdefg"), labels=(4,))
    opened(page, tmp_path, made, "#softmax/2")
    logits = made.model(made.images)[0].detach()
    *_, probability = numbers(page.inner_text(".softmax-formula"))
    assert probability == pytest.approx(logits.softmax(0)[2].item(), abs=1e-4)
    loss = numbers(page.inner_text(".softmax-loss b"))[0]
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, torch.tensor(4)).item(), abs=1e-3)
    rows = page.locator(".softmax tbody tr").all_inner_texts()
    order = logits.argsort(descending=True).tolist()
    assert [row[0] for row in rows] == ["abcdefg"[number] for number in order]
    assert "(true)" in rows[order.index(4)]
    page.locator(".softmax tbody tr").nth(0).click()
    assert page.evaluate("location.hash") == f"#softmax/{order[0]}"


def test_logits_of_any_size_have_probabilities(page: "Page", tmp_path: Path) -> None:
    model = MODELS.get("basic_cnn")()
    with torch.no_grad():
        model.classifier[1].weight *= 1e6  # exp of such logits is no number
    made = written_of(model, pictures(1, 1, 28))
    opened(page, tmp_path, made, "#softmax/0")
    logits = made.model(made.images)[0]
    assert logits.max() > 1e4
    shown = [numbers(row)[-1] for row in page.locator(".softmax tbody tr").all_inner_texts()]
    assert shown == logits.softmax(0).sort(descending=True).values.tolist()
