"""The views of operations that go map by map, read and pointed at as their users do, against PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from cnncli.models.lenet5_1998 import ScaledTanh
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
    torch.manual_seed(0)
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
        ("lrn1", ["Σ squares", "maps 1 to 3"]),
        ("pool1", ["mean of each window"]),
        ("dropout1", ["with probability 0.4", "1 / (1 − 0.4) = 1.667"]),
        ("add1", ["the sum of", "dropout1, map 2", "conv2, map 2"]),
        ("mul1", ["the product of", "add1, map 2"]),
        ("amax1", ["as PyTorch had it"]),
        ("pool2", ["divided into 3×3 parts", "the mean"]),
    ],
)
def test_an_operation_says_what_it_does_and_comes_to_the_number_that_torch_has(
    id: str, said: list[str], mixed: Written, page: "Page", tmp_path: Path
) -> None:
    row, column = (0, 0) if id == "amax1" else (1, 2)  # which is one number a map
    opened(page, tmp_path, mixed, f"#{id}/2/formula/{row},{column}")
    text = page.inner_text("#panel")
    for words in said:
        assert words in text
    assert results(page) == pytest.approx(value(mixed, id, 2, row, column), abs=6e-4)


def test_a_map_that_was_put_behind_others_leads_to_where_it_came_from(
    mixed: Written, page: "Page", tmp_path: Path
) -> None:
    opened(page, tmp_path, mixed, "#cat1/8/formula/2,3")
    assert "This one is map 2 of conv3." in page.inner_text(".place")
    page.click(".place a:text('conv3, map 2')")
    assert page.evaluate("location.hash") == "#conv3/2/formula/2,3"


class Halves(nn.Module):
    """Lays two vectors one behind the other."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(16, 3), nn.Linear(16, 5), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        values = images.flatten(1)
        logits: Tensor = self.last(torch.cat([self.left(values), self.right(values)], 1))
        return logits


def test_a_number_of_a_vector_leads_to_the_vector_it_came_from(page: "Page", tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = written_of(Halves(), pictures(1, 1, 4), ["a", "b", "c"])
    opened(page, tmp_path, made, "#cat1/5")
    assert results(page) == pytest.approx(value(made, "dense2", 2), abs=6e-5)
    page.focus(".sliding")
    page.keyboard.press("ArrowRight")
    assert results(page) == pytest.approx(value(made, "dense2", 3), abs=6e-5)
    page.click(".place a:text('dense2, neuron 3')")
    assert page.evaluate("location.hash") == "#dense2/3"


class Spread(nn.Module):
    """Multiplies maps [C, H, W] by one map, by a row and by a column of each, and adds them to one map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3)
        self.one = nn.Conv2d(3, 1, 1)
        self.last = nn.Linear(75, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.first(images)
        maps = maps * self.one(maps)
        maps = maps * maps.mean(3, keepdim=True)
        maps = maps.mean(2, keepdim=True) * maps
        maps = self.one(maps) + maps
        logits: Tensor = self.last(maps.flatten(1))
        return logits


@pytest.mark.parametrize(
    ("id", "sources"),
    [
        ("mul1", [("conv1", 2, 3, 1), ("conv2", 0, 3, 1)]),
        ("mul2", [("mul1", 2, 3, 1), ("mean1", 2, 3, 0)]),
        ("mul3", [("mean2", 2, 0, 1), ("mul2", 2, 3, 1)]),
        ("add1", [("conv3", 0, 3, 1), ("mul3", 2, 3, 1)]),
    ],
)
def test_a_single_map_row_or_column_goes_with_all_of_the_other(
    id: str, sources: list[tuple[str, int, int, int]], page: "Page", tmp_path: Path
) -> None:
    torch.manual_seed(0)
    made = written_of(Spread(), pictures(1, 1, 7), ["a", "b", "c", "d"])
    opened(page, tmp_path, made, f"#{id}/2/formula/3,1")
    terms = [abs(value(made, *source)) for source in sources]
    assert [abs(term) for term in numbers(page.inner_text(".formula"))[:2]] == pytest.approx(terms, abs=6e-5)
    assert results(page) == pytest.approx(value(made, id, 2, 3, 1), abs=6e-5)
    links = page.locator(".place > p").last.locator("a")
    hashes = [links.nth(number).get_attribute("href") for number in range(2)]
    assert hashes == [f"#{source}/{unit}/formula/{row},{column}" for source, unit, row, column in sources]


def test_links_lead_to_the_place_that_is_looked_at(mixed: Written, page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, mixed, "#pool1/2/formula/1,2")
    page.focus(".sliding")
    page.keyboard.press("ArrowDown")
    page.click(".place a:text('lrn1, map 2')")
    assert page.evaluate("location.hash") == "#lrn1/2/formula/3,3"  # where the window of row 2, column 2 begins


def test_the_squares_of_the_maps_around_are_listed(mixed: Written, page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, mixed, "#lrn1/5/formula/4,7")  # the last map: there is none behind it
    rows = [numbers(row)[-1] for row in page.locator(".squares :is(tbody, tfoot) tr").all_inner_texts()]
    squares = [value(mixed, "leaky_relu1", unit, 4, 7) ** 2 for unit in (4, 5)]
    assert rows == pytest.approx([*squares, sum(squares)], abs=6e-4)


def test_squares_of_maps_that_are_not_shown_are_one_term(page: "Page", tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = written_of(Mixed(), pictures(1, 1, 12), [f"class {number}" for number in range(4)], units=2)
    units = next(part.units for part in made.explanation.parts if part.id == "lrn1")
    assert units is not None
    opened(page, tmp_path, made, f"#lrn1/{units[0]}/formula/4,7")
    own, others, total = (numbers(row)[-1] for row in page.locator(".squares tr:has(td)").all_inner_texts())
    around = [value(made, "leaky_relu1", unit, 4, 7) ** 2 for unit in range(6) if abs(unit - units[0]) <= 1]
    assert own + others == pytest.approx(total, abs=3e-4)
    assert total == pytest.approx(sum(around), abs=6e-4)
    assert results(page) == pytest.approx(value(made, "lrn1", units[0], 4, 7), abs=6e-5)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Sigmoid(), "1 / (1 + exp(−(−0.5000))) = 0.3775"),
        (nn.ReLU(), "max(0, −0.5000) = 0"),
        (nn.ReLU6(), "min(max(0, −0.5000), 6) = 0"),
        (nn.LeakyReLU(0.2), "0.2 · (−0.5000) = −0.1000"),
        (nn.ELU(2.0), "2 · (exp(−0.5000) − 1) = −0.7869"),
        (nn.SiLU(), "(−0.5000) / (1 + exp(−(−0.5000))) = −0.1888"),
        (nn.GELU(), "(−0.5000) · Φ(−0.5000) = −0.1543"),
        (ScaledTanh(), "1.7159 · tanh(2 · (−0.5000) / 3) = −0.5517"),
    ],
)
def test_a_formula_is_filled_in_with_the_number(layer: nn.Module, text: str, page: "Page", tmp_path: Path) -> None:
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(4, 3))
    made = written_of(model, torch.full((1, 1, 2, 2), -0.5), ["a", "b", "c"])
    opened(page, tmp_path, made, f"#{made.explanation.parts[1].id}/0/formula/1,1")
    assert page.inner_text(".formula") == text
    assert results(page) == pytest.approx(layer(torch.tensor(-0.5)).item(), abs=6e-5)


@pytest.mark.parametrize(
    ("layer", "place", "said"),
    [
        (nn.AvgPool2d(3, 2, 1), (0, 0), ["zeros that count", "/ 9 = ", "9 cells, those of the padding too"]),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (0, 0), ["/ 4 = ", "4 cells are inside"]),
        (nn.AvgPool2d(2, divisor_override=3), (1, 1), ["always divided by 3", "/ 3 = "]),
        (nn.AvgPool2d(3, 3, ceil_mode=True), (2, 2), ["ceil mode", "/ 1 = "]),
        (nn.MaxPool2d(2, 2, dilation=2), (1, 1), ["cells are 2 apart", "max("]),
        (nn.MaxPool2d((2, 3), (2, 1), (1, 0)), (0, 3), ["2×3; they are 2 and 1 apart", "never the largest"]),
        (nn.AdaptiveAvgPool2d((3, None)), (1, 4), ["divided into 3×7 parts", "/ 3 = "]),
        (nn.AdaptiveMaxPool2d(2), (1, 1), ["the largest number", "of 16"]),
    ],
)
def test_a_window_is_pooled_as_torch_does_and_says_how(
    layer: nn.Module, place: tuple[int, int], said: list[str], page: "Page", tmp_path: Path
) -> None:
    images = pictures(1, 1, 7)
    torch.manual_seed(0)
    model = nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(3))
    model(images)
    opened(page, tmp_path, written_of(model, images, ["a", "b", "c"]), f"#pool1/0/formula/{place[0]},{place[1]}")
    for words in said:
        assert words in page.inner_text(".place")
    assert results(page) == pytest.approx(layer(images)[0, 0, place[0], place[1]].item(), abs=6e-4)


def test_the_largest_of_a_window_is_framed(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg")
    opened(page, tmp_path, made, "#pool1/1/formula/3,4")
    with torch.no_grad():
        maps = made.model.features[:4](made.images)[0, 1]  # type: ignore[index,operator,union-attr]
    window = maps[6:8, 8:10]
    cells = page.locator(".cells span").all_inner_texts()
    assert [numbers(cell)[0] for cell in cells] == pytest.approx(window.flatten().tolist(), abs=6e-5)
    assert numbers(page.inner_text(".cells-winner"))[0] == pytest.approx(window.max().item(), abs=6e-5)
    row, column = divmod(int(window.argmax()), 2)
    assert f", at row {6 + row}, column {8 + column}" in page.inner_text(".formula")
    assert results(page) == pytest.approx(window.max().item(), abs=6e-5)


def test_a_mean_counts_what_torch_counts(mixed: Written, page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, mixed, "#pool1/0/formula/0,0")  # a corner: 4 of 9 cells lie on the map
    assert "/ 4 =" in page.inner_text(".formula")
    assert page.locator(".cells span").all_inner_texts().count("–") == 5


def test_subsampling_is_a_sum_times_a_coefficient_plus_a_bias(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5_1998")
    opened(page, tmp_path, made, "#subsample1/2/formula/3,5")
    *_, total, weight, bias, result = numbers(page.inner_text(".formula"))
    sign = 1 if "+" in page.inner_text(".formula").split("×")[-1] else -1
    assert total * weight + sign * abs(bias) == pytest.approx(result, abs=3e-4)
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
    cells = page.locator(".sliding canvas").first  # 10×12
    box = cells.bounding_box()
    assert box is not None
    cells.hover(position={"x": box["width"] * 7.5 / 12, "y": box["height"] * 2.5 / 10})
    assert "neuron 31\n" in page.inner_text(".place")
    assert page.inner_text(".formula").startswith("max(0, ")
    assert results(page) == pytest.approx(value(made, "relu3", 31), abs=6e-5)
    page.wait_for_timeout(500)  # the address follows when the pointer rests
    assert page.evaluate("location.hash") == "#relu3/31"


def test_the_point_on_the_curve_moves_with_the_number(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"), "#relu1/0/formula/2,2")
    point = page.locator(".curve-point")
    before = point.get_attribute("cx")
    page.focus(".sliding")
    page.keyboard.press("ArrowRight")
    assert point.get_attribute("cx") != before
