"""Edits in the page: what it computes anew is what PyTorch computes of the same picture and weights."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cnncli.pages.explain.bundle import bundle
from tests.pages.explain.pages import Written, moved, opened, pictures, written, written_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

MEAN, STD = 0.5, 0.25  # of tests' pages


def settled(page: "Page") -> None:
    """Wait until an edit has been drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def answers(page: "Page") -> dict[str, float]:
    """Return the probabilities that the editor shows, in percent."""
    rows = [row.split("\t") for row in page.locator(".editor-answers tbody tr").all_inner_texts()]
    return {row[0]: float(row[2].removesuffix(" %")) for row in rows}


def expected(made: Written, images: Tensor, model: nn.Module | None = None) -> dict[str, float]:
    with torch.no_grad():
        shares = (model or made.model)(images)[0].softmax(0) * 100
    return {f"class {number}": pytest.approx(share, abs=0.011) for number, share in enumerate(shares.tolist())}


def test_a_pixel_that_is_drawn_changes_the_answer_as_it_would_in_torch(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made, "#editor")
    assert answers(page) == expected(made, made.images)
    canvas = page.locator(".editor-drawing")
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] * 10.5 / 28, "y": box["height"] * 5.5 / 28})
    settled(page)
    images = made.images.clone()
    images[0, 0, 5, 10] = (1 - MEAN) / STD
    assert answers(page) == expected(made, images)
    assert "row 5, column 10: 255 of 255" in page.inner_text(".editor-pixel")


def test_a_stroke_draws_all_along_and_edits_are_taken_back(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made, "#editor")
    page.locator(".editor-drawing").scroll_into_view_if_needed()
    box = page.locator(".editor-drawing").bounding_box()
    assert box is not None
    across = [box["x"] + box["width"] * (column + 0.5) / 28 for column in range(28)]
    down = box["y"] + box["height"] * 20.5 / 28
    page.mouse.move(across[3], down)
    page.mouse.down()
    for x in across[3:9]:
        page.mouse.move(x, down)
    page.mouse.up()
    page.mouse.move(across[20], down)  # draws no more
    settled(page)
    images = made.images.clone()
    images[0, 0, 20, 3:9] = (1 - MEAN) / STD
    assert answers(page) == expected(made, images)
    page.click(".editor-reset")
    settled(page)
    assert answers(page) == expected(made, made.images)


def test_keys_draw(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made, "#editor")
    page.focus(".editor-drawing")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    settled(page)
    images = made.images.clone()
    images[0, 0, 2, 1] = (1 - MEAN) / STD
    assert answers(page) == expected(made, images)


def test_a_shift_moves_the_picture_and_the_maps_with_it(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg")
    opened(page, tmp_path, made, "#editor")
    page.get_by_role("button", name="Shift ↓").click()
    page.get_by_role("button", name="Shift →").click()
    settled(page)
    images = made.images[:, :, :1, :1].expand_as(made.images).clone()
    images[:, :, 1:, 1:] = made.images[:, :, :-1, :-1]
    assert answers(page) == expected(made, images)
    assert "moved by 1, 1" in page.inner_text(".editor-shift")


def test_a_kernel_is_changed(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made, "#editor")
    page.get_by_label("layer", exact=True).select_option("conv2")
    page.get_by_label("map", exact=True).select_option("3")
    page.get_by_label("from map").select_option("2")
    page.get_by_label("weight 7").fill("0.75")
    page.get_by_label("bias", exact=True).last.fill("-0.5")
    settled(page)
    model = written.__wrapped__("lenet5").model  # one of its own
    with torch.no_grad():
        model.get_parameter("features.3.weight")[3, 2].view(-1)[7] = 0.75
        model.get_parameter("features.3.bias")[3] = -0.5
    assert answers(page) == expected(made, made.images, model)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_picture_of_ones_own_is_put_in(resize: str, page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg", labels=(3,))
    html = made.html.replace('"size":32,', f'"size":32,"resize":"{resize}","background":[10,200,90],', 1)
    assert html != made.html
    pixels = np.full((64, 32, 3), (200, 100, 50), dtype=np.uint8)
    pixels[:16] = pixels[48:] = (0, 0, 250)  # a crop leaves these out
    Image.fromarray(pixels).save(tmp_path / "own.png")
    opened(page, tmp_path, Written(made.model, made.images, made.explanation, html), "#editor")
    page.set_input_files("input[type=file]", tmp_path / "own.png")
    page.wait_for_function("() => document.querySelector('.editor-answers p') !== null")
    settled(page)
    shown = page.locator(".editor-drawing").evaluate(
        "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, 32, 32).data)"
    )
    seen = np.array(shown, dtype=np.uint8).reshape(32, 32, 4)[:, :, :3]
    middle, corner = seen[16, 16].tolist(), seen[0, 0].tolist()
    assert middle == [200, 100, 50]
    assert "Wrong" not in page.inner_text("#header")  # nobody said what is on it
    assert corner == {"squash": [0, 0, 250], "crop": [200, 100, 50], "pad": [10, 200, 90]}[resize]


def test_what_is_no_picture_is_said(page: "Page", tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    opened(page, tmp_path, written("lenet5"), "#editor")
    page.set_input_files("input[type=file]", tmp_path / "text.png")
    page.wait_for_function("() => document.querySelector('.editor-problem').textContent !== ''")
    assert page.inner_text(".editor-problem") == "text.png is no picture that this browser can read."


def test_grey_is_pillows(page: "Page") -> None:
    page.set_content(f"<script type=module>{bundle(['pixels.js'])}window.levelsIn = levelsIn;</script>")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    data = np.dstack([pixels, np.full((8, 8, 1), 255, np.uint8)]).flatten().tolist()
    script = "data => Array.from(levelsIn({ data: Uint8ClampedArray.from(data) }, 1))"
    grey = np.array(page.evaluate(script, data)).reshape(8, 8)
    assert abs(grey - np.array(Image.fromarray(pixels).convert("L")).astype(float)).max() <= 1


def test_what_is_no_number_is_no_weight(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made, "#editor")
    field = page.get_by_label("weight 7")
    field.fill("1e300")
    assert field.evaluate("field => field.validationMessage").startswith("Not a number")
    settled(page)
    assert answers(page) == expected(made, made.images)


def test_edited_numbers_are_not_compared_with_those_of_the_page(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"), "#editor")
    page.get_by_role("button", name="Shift ↓").click()
    settled(page)
    page.evaluate("() => { location.hash = '#selftest'; }")
    page.wait_for_selector("text=take back all edits")
    assert page.get_attribute("html", "data-selftest") is None


class Perceptron(nn.Module):
    """Has no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 8), nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(images.flatten(1)).relu())
        return logits


def test_a_network_without_convolutions_is_edited_as_well(page: "Page", tmp_path: Path) -> None:
    made = written_of(Perceptron(), pictures(1, 1, 8), [f"class {number}" for number in range(4)])
    opened(page, tmp_path, made, "#editor")
    assert not page.locator(".editor-kernel").count()
    page.focus(".editor-drawing")
    page.keyboard.press("Enter")
    settled(page)
    images = made.images.clone()
    images[0, 0, 0, 0] = (1 - MEAN) / STD
    assert answers(page) == expected(made, images)


def test_numbers_beyond_all_bounds_break_no_view(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"), "#editor")
    page.get_by_label("weight 7").fill("3e38")
    page.get_by_label("weight 8").fill("-3e38")
    settled(page)
    for id in ("conv1", "relu1", "pool1", "dense2", "relu4", "softmax"):
        moved(page, f"#{id}")
        assert page.inner_text("#panel h2").startswith(id)
