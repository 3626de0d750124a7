"""The page's comparison of what it computes with what PyTorch had."""

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.models.explainer import EXPLAINER, needs_explainer
from tests.pages.explain.pages import SIZES, Written, opened, pictures, written, written_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAPER = (("groups", 2), ("lrn", True))  # AlexNet as published


def verdict(page: "Page", folder: Path, made: Written) -> str:
    """Return what the self-test says of a page."""
    opened(page, folder, made, "#selftest")
    return str(page.get_attribute("html", "data-selftest"))


@pytest.mark.parametrize(("name", "options"), [*((name, ()) for name in SIZES), ("alexnet", PAPER)])
def test_it_agrees_with_pytorch(name: str, options: Any, page: "Page", tmp_path: Path) -> None:
    made = written(name, options=options)
    assert verdict(page, tmp_path, made) == "passed"
    compared = page.locator(".selftest tbody tr").count()
    assert compared == len(made.explanation.parts) - 1  # all but the image


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "torchvision/resnet18"])
def test_it_agrees_at_full_size(name: str, page: "Page", tmp_path: Path) -> None:
    from cnncli.registry import MODELS

    channels, size = (3, 227 if name == "alexnet" else 224)
    torch.manual_seed(0)
    made = written_of(MODELS.get(name)(), pictures(1, channels, size), cam=True)
    assert verdict(page, tmp_path, made) == "passed"


@pytest.mark.parametrize("kind", ["convolution", "activation", "dense", "softmax"])
def test_it_notices_a_number_that_is_another(kind: str, page: "Page", tmp_path: Path) -> None:
    made = written("lenet5")
    number = next(number for number, part in enumerate(made.explanation.parts) if part.operation.kind == kind)
    if kind in ("convolution", "dense"):  # whose results are kept: have the weights be others
        html = re.sub(r'("bias":\{"blob":"weights","offset":)\d+', r"\g<1>0", made.html)
    else:
        before = f'"{number}":[['
        assert before in made.html
        html = re.sub(re.escape(before) + r"0,[^\]]*\]", f"{before}0,77.5]", made.html)
    assert html != made.html
    assert verdict(page, tmp_path, dataclasses.replace(made, html=html)) == "failed"
    assert page.locator(".selftest .failed").count() >= 1


@needs_explainer
def test_cnn_explainers_network_is_followed(page: "Page", tmp_path: Path) -> None:
    from tests.models.test_tinyvgg import PREPROCESS, explainer

    images = PREPROCESS(EXPLAINER / "images" / "espresso_1.jpeg")
    labels = ["lifeboat", "ladybug", "pizza", "bell pepper", "school bus", "koala", "espresso", "red panda", "orange"]
    from cnncli.analysis.explanation import explain
    from cnncli.checkpoint import Checkpoint
    from cnncli.pages.explain import page_of

    model = explainer()
    explanation = explain(model, images, ["espresso_1.jpeg"], [6])
    checkpoint = Checkpoint("tinyvgg", {}, {}, [*labels, "sport car"], PREPROCESS.to_dict(), {}, {})
    made = Written(model, images, explanation, page_of(explanation, checkpoint, "tinyvgg.pt"))
    assert verdict(page, tmp_path, made) == "passed"
    opened(page, tmp_path, made, "#softmax")
    assert page.locator(".softmax tbody tr").first.inner_text().split("\t")[0] == "espresso (true)"
    assert page.inner_text(".softmax-formula b") == "0.8798"
