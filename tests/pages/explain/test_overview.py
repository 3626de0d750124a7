"""The overview: what is drawn, what is marked under the mouse and by keys, scales, and what was left out."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.analysis.explanation import results
from cnncli.pages.explain.bundle import bundle
from tests.pages.explain.pages import Written, moved, opened, pictures, written, written_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def block(page: "Page", name: str) -> "Locator":
    return page.locator(f'.block[aria-label="{name}"]')


def status(page: "Page") -> str:
    return page.inner_text(".status")


def colours(canvas: "Locator") -> list[list[int]]:
    """Return red, green and blue of each pixel of a canvas."""
    script = "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    return torch.tensor(canvas.evaluate(script)).reshape(-1, 4)[:, :3].tolist()


def colour(value: float, end: float) -> list[float]:
    """Return the colour of a number: white at 0, full at ``end`` from it; within a step of 255."""
    full = (0, 114, 178) if value < 0 else (213, 94, 0)
    share = min(abs(value) / end, 1)
    return [pytest.approx(255 + (channel - 255) * share, abs=1.5) for channel in full]


def marked(page: "Page", kind: str) -> int:
    """Return how many boxes are marked as ``sources``, ``users`` or ``own``."""
    return len(re.findall("M", page.locator(f".edges-above .edge-{kind}").get_attribute("d") or ""))


class Branches(nn.Module):
    """A sum, a concatenation, and a way past several layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.side = nn.Conv2d(3, 2, 1)
        self.last = nn.Linear(5 * 64, 4)

    def forward(self, images: Tensor) -> Tensor:
        first = self.first(images)
        added = self.norm(self.second(first)).relu() + first
        return self.last(torch.cat([added, self.side(first)], 1).flatten(1))


def branches() -> Written:
    torch.manual_seed(0)
    return written_of(Branches(), pictures(1, 1, 8))


def test_each_part_is_a_block_with_its_units(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made)
    parts = made.explanation.parts
    assert page.locator(".block h3").all_inner_texts() == [part.id for part in parts]
    for part in parts:
        if len(part.shape) == 3:
            assert block(page, part.id).locator("a").count() == part.shape[0]
    assert block(page, "flatten").locator("canvas").first.evaluate("c => c.width * c.height") >= 400


def test_maps_have_the_colours_of_their_numbers(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made)
    values = results(made.explanation, made.explanation.views[0])
    names = [part.id for part in made.explanation.parts]
    relu = values[names.index("relu1")]
    conv = values[names.index("conv1")]
    for mode, end in (("layer", conv.abs().max()), ("unit", conv[2].abs().max())):
        page.check(f"input[value={mode}]")
        seen = colours(block(page, "conv1").locator('[data-unit="2"] canvas'))
        assert seen == [colour(value, end.item()) for value in conv[2].flatten().tolist()]
    page.check("input[value=global]")
    all_maps = max(value.abs().max().item() for value in values if value.dim() == 3)
    seen = colours(block(page, "relu1").locator('[data-unit="4"] canvas'))
    assert seen == [colour(value, all_maps) for value in relu[4].flatten().tolist()]


def test_numbers_of_a_vector_stand_column_by_column(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    opened(page, tmp_path, made)
    values = results(made.explanation, made.explanation.views[0])
    flat = values[[part.id for part in made.explanation.parts].index("flatten")]
    link = block(page, "flatten").locator("a")
    canvas = link.locator("canvas")
    rows, columns = canvas.evaluate("c => [c.height, c.width]")
    link.scroll_into_view_if_needed()
    seen = torch.tensor(colours(canvas)).reshape(rows, columns, 3)
    end = flat.abs().max().item()
    for unit in (0, 57, 399):
        assert seen[unit % rows, unit // rows].tolist() == colour(flat[unit].item(), end)
    box = link.bounding_box()
    assert box is not None
    link.hover(
        position={"x": (57 // rows + 0.5) * box["width"] / columns, "y": (57 % rows + 0.5) * box["height"] / rows}
    )
    assert status(page).startswith("flatten, neuron 57:")
    assert link.get_attribute("href") == "#flatten/57"


def test_the_mouse_marks_what_a_map_is_made_of_and_what_is_made_of_it(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5_1998", num_images=1)  # whose table joins maps 0, 1 and 2 to map 0
    opened(page, tmp_path, made)
    conv = next(part for part in made.explanation.parts if part.id == "conv2")
    sources = conv.operation.options["sources"]
    block(page, "conv2").locator('[data-unit="0"]').hover()
    assert status(page).startswith("conv2, map 0: 10×10 numbers from ")
    assert f"{len(sources[0])} of 6 maps" in status(page)
    assert (marked(page, "own"), marked(page, "sources"), marked(page, "users")) == (1, len(sources[0]), 1)
    source = made.explanation.parts[conv.inputs[0]].id
    block(page, source).locator('[data-unit="3"]').hover()
    assert marked(page, "users") == sum(3 in given for given in sources)
    page.mouse.move(2, 2)
    assert (marked(page, "own"), marked(page, "sources"), marked(page, "users")) == (0, 0, 0)


def test_branches_are_drawn_as_branches(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, branches())
    lefts = {name: block(page, name).evaluate("b => b.style.left") for name in ("conv2", "conv3", "norm1")}
    assert lefts["conv2"] == lefts["conv3"] != lefts["norm1"]
    buses = page.locator(".edge-buses").get_attribute("d") or ""
    assert buses.count("h10V") == 2  # the first convolution into the sum, the third into the concatenation
    block(page, "cat1").locator('[data-unit="4"]').hover()
    assert status(page).endswith("made of add1: 0 of 3 maps, conv3: map 1")
    block(page, "add1").locator('[data-unit="1"]').hover()
    assert status(page).endswith("made of relu1: map 1, conv1: map 1")
    assert (marked(page, "sources"), marked(page, "users")) == (2, 1)


def test_the_keys_lead_through_layers_and_units(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, branches())
    block(page, "input").locator("a").focus()
    for key, expected in [
        ("ArrowRight", "conv1, map"),
        ("Home", "input, map 0"),
        ("End", "softmax, class"),
        ("ArrowLeft", "dense1, class"),
        ("ArrowLeft", "flatten, neuron"),
    ]:
        page.keyboard.press(key)
        assert status(page).startswith(expected), key
    block(page, "conv2").locator('[data-unit="2"]').focus()
    page.keyboard.press("ArrowDown")
    assert status(page).startswith("conv3, map 0")
    page.keyboard.press("ArrowUp")
    assert status(page).startswith("conv2, map 2")
    page.keyboard.press("Enter")
    page.locator("#panel h2").wait_for()
    assert page.url.endswith("#conv2/2")
    assert page.locator("#panel h2").inner_text().startswith("conv2")
    page.keyboard.press("Escape")
    page.locator('.scroller a[href="#conv2/2"]:focus').wait_for()
    assert page.evaluate("location.hash") in ("", "#")
    assert page.locator(".scroller [tabindex='0']").count() == 1


def test_names_and_sizes_are_there_when_wanted(page: "Page", tmp_path: Path) -> None:
    opened(page, tmp_path, written("lenet5"))
    assert block(page, "conv1").locator("small").all_inner_texts() == ["6×28×28"]
    page.get_by_label("Names and sizes").check()
    formula = "⌊(28 − 5 + 2·2) / 1⌋ + 1 = 28"
    assert block(page, "conv1").locator("header small").all_inner_texts() == [
        "6×28×28",
        "features.0",
        "Conv2d",
        formula,
    ]


def test_only_what_is_in_sight_is_drawn(page: "Page", tmp_path: Path) -> None:
    made = written("torchvision/resnet18")
    opened(page, tmp_path, made)
    assert block(page, "conv1").locator("canvas").count() > 0
    assert block(page, "conv20").locator("canvas").count() == 0
    page.locator(".scroller").evaluate("s => { s.scrollLeft = s.scrollWidth; }")
    block(page, "conv20").locator("canvas").first.wait_for()
    assert block(page, "softmax").locator("a").count() == 10


def test_of_many_classes_the_likeliest_and_the_true_one_are_shown(page: "Page", tmp_path: Path) -> None:
    names = tuple(f"kind {number}" for number in range(40))
    made = written("basic_cnn", classes=names)
    with torch.no_grad():
        order = made.model(made.images)[0].argsort(descending=True).tolist()
    made = written("basic_cnn", classes=names, labels=(order[-1],))
    opened(page, tmp_path, made, "#softmax")
    shown = block(page, "softmax").locator("a span:first-child").all_inner_texts()
    assert shown == [names[number] for number in [*order[:10], order[-1]]]
    assert block(page, "softmax").locator("a", has_text="✓").count() == 1


def test_what_is_left_out_is_said_and_seen_as_thumbnails(page: "Page", tmp_path: Path) -> None:
    made = written("alexnet")
    opened(page, tmp_path, made)
    part = next(part for part in made.explanation.parts if part.id == "conv1")
    assert block(page, "conv1").locator("small").all_inner_texts()[:2] == ["×".join(map(str, part.shape)), "12 of 96"]
    words = page.inner_text(".left-out summary")
    assert "12 of 384 maps of conv3" in words
    assert "cnn explain --units" in words
    moved(page, "#conv1")
    page.locator(".sheet summary").click()
    page.locator(".sheet-maps").wait_for()
    assert page.locator(".sheet-maps > *").count() == 96
    linked = page.locator(".sheet-maps a").evaluate_all("links => links.map((a) => a.getAttribute('href'))")
    assert linked == [f"#conv1/{unit}" for unit in part.units or []]


def test_cam_is_enlarged_as_pytorch_does_it(page: "Page") -> None:
    page.set_content(f"<script type=module>{bundle(['picture.js'])}window.enlarged = enlarged;</script>")
    cam = torch.rand(1, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    script = "([map, ...sizes]) => Array.from(enlarged(map, ...sizes))"
    made = page.evaluate(script, [cam.flatten().tolist(), 5, 7, 28, 32])
    wanted = F.interpolate(cam, (28, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(torch.tensor(made), wanted.flatten(), atol=1e-6, rtol=0)


def test_several_images_have_a_chooser(page: "Page", tmp_path: Path) -> None:
    made = written("lenet5", num_images=3, labels=(3,), cam=True)
    opened(page, tmp_path, made, "#conv1/2?image=1")
    with torch.no_grad():
        shares = made.model(made.images).softmax(1)

    def says(image: int) -> str:
        share, number = shares[image].max(0)
        return f"class {number} {share:.2%}".replace("%", " %")

    assert page.inner_text(".answer-best") == says(1)
    page.locator(".chooser a").nth(2).click()
    page.locator(".answer-best", has_text=says(2)).wait_for()
    page.locator(".chooser a").nth(0).click()
    page.locator(".answer-best", has_text=says(0)).wait_for()
    loss: Any = F.cross_entropy(made.model(made.images[:1]), torch.tensor([3])).item()
    assert f"cross-entropy −log {shares[0, 3]:.4f} = {loss:.3f}" in page.inner_text(".answer")
    assert "Grad-CAM" in page.inner_text(".answer-cam")
    assert "Selvaraju" in page.inner_text(".answer-cam")
    page.get_by_role("checkbox", name="Grad-CAM").uncheck()
    assert page.locator(".answer-cam").count() == 0
    sides = page.locator(".chooser canvas").evaluate_all("all => all.map((c) => c.width)")
    assert sides == [28, 28, 28]


def test_the_picture_is_as_the_network_sees_it(page: "Page", tmp_path: Path) -> None:
    made = written("tinyvgg")
    opened(page, tmp_path, made)
    levels = ((made.images[0] * 0.25 + 0.5) * 255).clamp(0, 255).round().permute(1, 2, 0).reshape(-1, 3)
    seen = torch.tensor(colours(page.locator(".answer canvas")))
    assert (seen - levels).abs().max() <= 1
