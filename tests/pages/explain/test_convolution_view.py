"""The view of a convolution, read and clicked as its users do, against PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.pages.explain.numbers import numbers
from tests.pages.explain.pages import Written, opened, written

if TYPE_CHECKING:
    from playwright.sync_api import Page


def before(made: Written, layer: int) -> Tensor:
    """Return what the layer of this number among the features is given, [C, H, W]."""
    with torch.no_grad():
        maps: Tensor = made.model.features[:layer](made.images)[0]  # type: ignore[index,operator,union-attr]
    return maps


def here(page: "Page") -> list[float]:
    """Return the numbers of the place that is looked at: the terms, the bias, the result."""
    return [numbers(text)[0] for text in page.locator(".conv-sum output").all_inner_texts()]


def test_a_map_is_the_sum_of_what_its_kernels_make_of_each_map(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg")
    opened(page, tmp_path, made, "#conv2/3/formula/10,12")
    maps, layer = before(made, 2), made.model.features[2]  # type: ignore[index,union-attr]
    kernels = layer.weight[3].detach()[:, None]  # type: ignore[index,union-attr]
    terms = F.conv2d(maps[None], kernels, groups=10)[0, :, 10, 12]
    bias = layer.bias[3].item()  # type: ignore[index,union-attr]
    assert here(page) == pytest.approx([*terms.tolist(), bias, terms.sum().item() + bias], abs=6e-5)
    row, column, *_, total, kept, apart = numbers(page.inner_text(".conv-total").replace("float32", ""))
    assert (row, column) == (10, 12)
    assert [total, kept] == pytest.approx([terms.sum().item() + bias] * 2, abs=6e-5)
    assert apart < 1e-5


def test_pointing_at_a_map_reads_another_place(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made, "#conv1/2")
    picture = page.locator(".conv-sum .marked canvas").last
    box = picture.bounding_box()
    assert box is not None
    picture.hover(position={"x": box["width"] * 3.5 / 28, "y": box["height"] * 7.5 / 28})
    with torch.no_grad():
        result = made.model.features[0](made.images)[0, 2]  # type: ignore[index,operator]
    assert numbers(page.inner_text(".conv-total"))[:2] == [7, 3]
    assert here(page)[-1] == pytest.approx(result[7, 3].item(), abs=6e-5)


def test_an_input_map_opens_its_products(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg")
    opened(page, tmp_path, made, "#conv2/1/formula/4,5")
    page.get_by_role("button", name="map 6", exact=True).click()
    page.wait_for_selector(".conv-products")
    assert page.evaluate("location.hash") == "#conv2/1/formula/4,5/6"
    patch = before(made, 2)[6, 4:7, 5:8]
    kernel = made.model.get_parameter("features.2.weight")[1, 6].detach()
    expected = [patch, kernel, patch * kernel]
    for cells, values in zip(page.locator(".conv-products .cells").all(), expected, strict=True):
        shown = [numbers(text)[0] for text in cells.locator("span").all_inner_texts()]
        assert shown == pytest.approx(values.flatten().tolist(), abs=6e-5)
    total = numbers(page.inner_text(".conv-products b"))[0]
    assert total == pytest.approx((patch * kernel).sum().item(), abs=6e-5)


def test_the_window_is_moved_by_mouse_and_keys_and_can_be_linked_to(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg")
    opened(page, tmp_path, made, "#conv1/0/formula/2,3/1")
    page.focus(".sliding")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    made_of_it = F.conv2d(made.images[:, 1:2], made.model.get_parameter("features.0.weight")[:1, 1:2].detach())[0, 0]
    assert numbers(page.inner_text(".conv-products b"))[0] == pytest.approx(made_of_it[3, 4].item(), abs=6e-5)
    page.wait_for_timeout(500)  # the address follows when the keys rest
    assert page.evaluate("location.hash") == "#conv1/0/formula/3,4/1"
    page.locator(".sliding .marked > div > canvas").last.hover(position={"x": 1, "y": 1})
    assert numbers(page.inner_text(".conv-products b"))[0] == pytest.approx(made_of_it[0, 0].item(), abs=6e-5)


def test_it_plays_until_it_is_paused(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("tinyvgg"), "#conv1/0")
    page.get_by_role("button", name="map 0", exact=True).click()
    page.wait_for_selector(".conv-products")
    page.focus(".sliding")
    before_play = page.inner_text(".motion-position")
    page.keyboard.press("Space")
    page.wait_for_timeout(500)
    page.keyboard.press("Space")
    paused = page.inner_text(".motion-position")
    assert paused != before_play
    page.wait_for_timeout(400)
    assert page.inner_text(".motion-position") == paused


def test_a_window_on_the_border_sees_zeros(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made, "#conv1/0/formula/0,0/0")  # 5×5, padding 2
    patch = page.locator(".conv-products .cells").first.locator("span").all_inner_texts()
    assert patch[:10] == ["0"] * 10
    assert numbers(patch[12])[0] == pytest.approx(made.images[0, 0, 0, 0].item(), abs=6e-4)


def test_maps_that_are_not_connected_are_said(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5_1998"), "#conv2/4")
    assert "Map 4 sees 3 of 6 maps" in page.inner_text(".conv")
    assert page.locator(".conv-open").all_inner_texts() == ["map 0", "map 4", "map 5"]  # table I of the paper


def test_channels_that_are_not_shown_are_one_term(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg", units=3)
    part = next(part for part in made.explanation.parts if part.id == "conv2")
    assert part.units is not None
    unit = part.units[1]
    opened(page, tmp_path, made, f"#conv2/{unit}/formula/5,6")
    *terms, others, bias, result = here(page)
    assert len(terms) == 3
    assert sum(terms) + others + bias == pytest.approx(result, abs=3e-4)
    with torch.no_grad():
        whole = made.model.features[:3](made.images)[0, unit, 5, 6]  # type: ignore[index,operator,union-attr]
    assert result == pytest.approx(whole.item(), abs=6e-5)


def test_arrow_keys_move_the_place_of_the_sum_and_the_address_follows(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"), "#conv1/2/formula/0,3")
    page.locator(".conv [aria-label^=Sum]").focus()
    for key in ("ArrowUp", "ArrowRight", "ArrowDown"):  # the first has nowhere to go
        page.keyboard.press(key)
    assert numbers(page.inner_text(".conv-total"))[:2] == [1, 4]
    page.wait_for_timeout(500)
    assert page.evaluate("location.hash") == "#conv1/2/formula/1,4"


def test_window_and_sum_are_at_the_same_place(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"), "#conv2/2/formula/0,3/1")
    page.focus(".sliding")
    page.keyboard.press("ArrowDown")
    assert numbers(page.inner_text(".conv-total"))[:2] == [1, 3]
    page.locator(".conv [aria-label^=Sum]").focus()
    page.keyboard.press("ArrowRight")
    assert numbers(page.inner_text(".motion-position"))[0] == 1 * 10 + 4 + 1  # of 10×10 places, the first is 1
    assert page.inner_text(".conv-products b") == page.locator(".conv-sum output").nth(1).inner_text()


def test_a_map_that_is_not_connected_has_no_products(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5_1998"), "#conv2/4/formula/0,0/1")
    assert "Map 1 is not among them." in page.inner_text(".conv")
    assert page.locator(".conv-products").count() == 0


def test_how_the_window_moves_is_said(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("alexnet"), "#conv1")
    assert "Kernel 11×11, stride 4, padding 0, dilation 1." in page.inner_text(".conv")


def test_of_a_group_what_is_seen_and_what_is_shown_are_told_apart(page: "Page", tmp_path: Path) -> None:
    made = written("alexnet", units=12, options=(("groups", 2),))
    conv = next(part for part in made.explanation.parts if part.id == "conv2")
    assert conv.units is not None
    unit, sources = conv.units[0], conv.operation.options["sources"][0]
    opened(page, tmp_path, made, f"#conv2/{unit}")
    said = page.inner_text(".conv")
    assert f"Map {unit} sees 48 of 96 maps; {len(sources)} of these are shown" in said
    assert "Kernel 5×5, stride 1, padding 2, dilation 1, groups 2." in said


def test_pointing_at_a_large_kernel_reads_its_weights(page: "Page", tmp_path: Path) -> None:
    made = written("alexnet")
    unit = next(part for part in made.explanation.parts if part.id == "conv1").units or [0]
    opened(page, tmp_path, made, f"#conv1/{unit[0]}")
    kernel = page.get_by_role("img", name="kernel of map 1")
    box = kernel.bounding_box()
    assert box is not None
    kernel.hover(position={"x": box["width"] * 4.5 / 11, "y": box["height"] * 2.5 / 11})
    weight = made.model.get_parameter("features.0.weight")[unit[0], 1, 2, 4].item()
    *_, row, column, shown = numbers(page.inner_text(".conv-weight"))
    assert (row, column) == (2, 4)
    assert shown == pytest.approx(weight, abs=6e-5)


def test_products_of_a_large_kernel_add_up(page: "Page", tmp_path: Path) -> None:
    made = written("alexnet")
    unit = (next(part for part in made.explanation.parts if part.id == "conv1").units or [0])[0]
    opened(page, tmp_path, made, f"#conv1/{unit}/formula/3,2/2")
    patch = made.images[0, 2, 12:23, 8:19]  # 11×11, four apart
    products = patch * made.model.get_parameter("features.0.weight")[unit, 2].detach()
    cells = page.get_by_role("group", name="products").locator("span").all_inner_texts()
    assert [numbers(text)[0] for text in cells] == pytest.approx(products.flatten().tolist(), abs=6e-5)
    assert numbers(page.inner_text(".conv-products b"))[0] == pytest.approx(products.sum().item(), abs=6e-5)
