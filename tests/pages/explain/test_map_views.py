"""The views of operations that go map by map, read and pointed at as their users do, against PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from tests.pages.explain.numbers import numbers
from tests.pages.explain.pages import Written, opened, pictures, written, written_of

if TYPE_CHECKING:
    from playwright.sync_api import Page


class Mixed(nn.Module):
    """Has each kind of operation that the models of tests lack."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.act = nn.LeakyReLU(0.2)
        self.lrn = nn.LocalResponseNorm(3, alpha=0.5, beta=0.75, k=2.0)
        self.mean = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.drop = nn.Dropout(0.4)
        self.left = nn.Conv2d(6, 6, 1)
        self.adaptive = nn.AdaptiveAvgPool2d(3)
        self.last = nn.Linear(12 * 9, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.drop(self.mean(self.lrn(self.act(self.norm(self.first(images))))))
        maps = maps + self.left(maps)
        maps = maps * maps.amax((2, 3), keepdim=True)
        maps = self.adaptive(torch.cat([maps, self.left(maps)], 1))
        logits: Tensor = self.last(maps.flatten(1))
        return logits


@pytest.fixture(scope="module")
def mixed() -> Written:
    return written_of(Mixed(), pictures(1, 1, 12), [f"class {number}" for number in range(4)])


def value(made: Written, id: str, *place: int) -> float:
    """Return a number of a part as PyTorch had it."""
    from cnncli.analysis.trace import trace

    number = next(number for number, part in enumerate(made.explanation.parts) if part.id == id)
    return trace(made.model, made.images)[number].output[place].item()


def results(page: "Page") -> float:
    """Return the number that the formula comes to."""
    return numbers(page.locator(".formula b").last.inner_text())[0]


@pytest.mark.parametrize(
    ("id", "said"),
    [
        ("norm1", ["mean", "√(", "bias"]),
        ("leaky_relu1", ["leaky_relu(x)", "slope = 0.2"]),
        ("lrn1", ["Σ x²", "(map 1)", "(map 3)"]),
        ("pool1", ["mean of each window"]),
        ("dropout1", ["with probability 0.4", "0.6"]),
        ("add1", ["the sum of", "dropout1, map 2", "conv2, map 2"]),
        ("mul1", ["the product of", "add1, map 2"]),
        ("amax1", ["as PyTorch had it"]),
        ("pool2", ["mean of each window"]),
    ],
)
def test_an_operation_says_what_it_does_and_comes_to_the_number_that_torch_has(
    id: str, said: list[str], mixed: Written, page: "Page", tmp_path: Path
) -> None:
    row, column = (0, 0) if id == "amax1" else (1, 2)
    opened(page, tmp_path, mixed, f"#{id}/2/formula/{row},{column}")
    text = page.inner_text("#panel")
    for words in said:
        assert words in text
    found = numbers(page.inner_text(".formula"))[-1] if id == "amax1" else results(page)
    assert found == pytest.approx(value(mixed, id, 2, row, column), abs=6e-5)


def test_a_map_that_was_put_behind_others_leads_to_where_it_came_from(
    mixed: Written, page: "Page", tmp_path: Path
) -> None:
    opened(page, tmp_path, mixed, "#cat1/8")
    page.click(".combining a")
    assert page.evaluate("location.hash") == "#conv3/2"


def test_the_largest_of_a_window_is_framed(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg")
    opened(page, tmp_path, made, "#pool1/1/formula/3,4")
    with torch.no_grad():
        maps = made.model.features[:4](made.images)[0, 1]  # type: ignore[index,operator,union-attr]
    window = maps[6:8, 8:10]
    cells = page.locator(".pooling .cells span").all_inner_texts()
    assert [numbers(cell)[0] for cell in cells] == pytest.approx(window.flatten().tolist(), abs=6e-5)
    assert numbers(page.inner_text(".cells-winner"))[0] == pytest.approx(window.max().item(), abs=6e-5)
    assert results(page) == pytest.approx(window.max().item(), abs=6e-5)


def test_a_mean_counts_what_torch_counts(mixed: Written, page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, mixed, "#pool1/0/formula/0,0")  # a corner: 4 of 9 cells lie on the map
    assert "/ 4 =" in page.inner_text(".formula")
    assert page.locator(".cells span").all_inner_texts().count("–") == 5


def test_subsampling_is_a_sum_times_a_coefficient_plus_a_bias(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5_1998")
    opened(page, tmp_path, made, "#subsample1/2/formula/3,5")
    *_, total, weight, bias, result = numbers(page.inner_text(".formula"))
    assert total * weight + bias == pytest.approx(result, abs=3e-4)
    assert result == pytest.approx(value(made, "subsample1", 2, 3, 5), abs=6e-5)


def test_what_is_put_around_a_map_is_said(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5_1998")
    opened(page, tmp_path, made, "#pad1/0/formula/0,0")
    assert "put around" in page.inner_text(".formula")
    assert results(page) == pytest.approx(-0.1)
    page.evaluate("() => { location.hash = '#pad1/0/formula/5,7'; }")
    page.wait_for_selector("text=row 3, column 5 of input")
    assert results(page) == pytest.approx(made.images[0, 0, 3, 5].item(), abs=6e-4)


def test_a_neuron_under_the_pointer_is_explained(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made, "#relu3/0")
    strip = page.locator(".strips > canvas").last
    box = strip.bounding_box()
    assert box is not None
    strip.hover(position={"x": box["width"] * 7.5 / 120, "y": 5})
    assert page.inner_text(".strips .formula").startswith("neuron 7: max(0, ")
    assert results(page) == pytest.approx(value(made, "relu3", 7), abs=6e-5)
    assert page.evaluate("location.hash") == "#relu3/7"


def test_the_point_on_the_curve_moves_with_the_number(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"), "#relu1/0/formula/2,2")
    point = page.locator(".curve-point")
    before = point.get_attribute("cx")
    page.focus(".sliding")
    page.keyboard.press("ArrowRight")
    assert point.get_attribute("cx") != before
