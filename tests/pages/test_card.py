"""A model card says what the checkpoint knows, and no name in it is taken for Markdown."""

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt  # which Rich needs as well

from cnncli import checkpoint as checkpoints
from cnncli.checkpoint import Checkpoint
from cnncli.models.lenet5_1998 import LeNet5Of1998
from cnncli.pages.card import model_card
from cnncli.pipeline.preprocess import Preprocess
from cnncli.run import Run
from cnncli.training.meters import Metrics
from tests.conftest import Cnn

HOSTILE = [
    *("<script>alert(1)</script>", "a|b", "`code`", "**bold**", "_em_", "[link](http://a.b)", "![i](x)", "&lt;"),
    *("line\nbreak", "\\", "# head", "http://a.b", "<http://a.b>", "~~gone~~", "\ud800\u202e", "", "$x$", "@all"),
]


@pytest.fixture(scope="module")
def trained(tiny_run: Run) -> Checkpoint:
    return checkpoints.load(tiny_run.best)


def cells(card: str) -> dict[str, str]:
    """Return the rows of all tables, as a renderer has them: the first cell, and the others."""
    rows = re.findall(r"<tr>\n(.*?)</tr>", rendered(card), re.DOTALL)
    found = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    return {row[0]: " ".join(map(html.unescape, row[1:])) for row in found if row}


def rendered(card: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(card.split("---\n", 2)[2]))


def test_it_says_what_the_checkpoint_knows(trained: Checkpoint) -> None:
    card = model_card(trained, "best.pt")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["library_name"] == "cnncli"
    assert front["tags"] == ["cnncli", "image-classification", "lenet5"]
    row = trained.history[-1]
    found = cells(card)
    assert found["model"] == "lenet5 (padding 2, pool max, activation tanh)"
    assert found["parameters"] == f"{sum(weight.numel() for weight in trained.weights.values()):,}"
    assert found["input"] == "12×12 pixels, grey"
    assert found["val"] == f"12 {row['val']['accuracy']:.2%} {row['val']['loss']:.4f}"
    assert "test" not in found  # which no checkpoint knows
    assert found["images"] == "train 48, val 12, test 20"
    assert found["epochs"] == f"{row['epoch']} of 2"
    assert found["augmentation"] == "none"
    assert "<p>Classes, in the order of the outputs: 0, 1, 2, 3.</p>" in rendered(card)
    assert 'Source: LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 1998.\n' in card
    assert str(Path(trained.config["data"]["path"]).parent) not in card  # where its author keeps the images


def test_scores_on_the_test_images_are_those_it_is_given(trained: Checkpoint) -> None:
    card = model_card(trained, "best.pt", Metrics(0.25, 0.9, None, 20, 0))
    assert cells(card)["test"] == "20 90.00% 0.2500"


def test_foreign_weights_have_a_card_without_what_is_not_known() -> None:
    model = LeNet5Of1998()
    plain = Preprocess(28, 1, (0.5,), (0.5,), 32, "pad").to_dict()
    foreign = Checkpoint("lenet5_1998", {}, model.state_dict(), list("0123456789"), plain, config={}, state={})
    card = model_card(foreign, "import.pt")
    assert "# lenet5\\_1998\n" in card
    assert "Proc. IEEE 1998, section II.B.\n" in card
    assert "The checkpoint says nothing of how well it does." in card
    assert "The checkpoint says nothing of how it was trained." in card
    found = cells(card)
    assert found["parameters"] == "60,000, and 840 that are fixed"  # ten drawings of 84 pixels
    assert found["a picture"] == (
        "its longer side is scaled to 32 pixels, and the rest is filled with [255, 255, 255],"
        " of which the middle 28×28 are seen; bilinear"
    )


def test_no_name_is_taken_for_markdown(trained: Checkpoint) -> None:
    sized = {**trained.options, "num_classes": len(HOSTILE)}
    last = list(trained.weights)[-2:]
    weights = {
        name: weight.new_zeros(len(HOSTILE), *weight.shape[1:]) if name in last else weight
        for name, weight in trained.weights.items()
    }
    config = {**trained.config, "data": {"name": "<b>x</b> | y"}, "loss": {"name": "a`b", "x": HOSTILE}}
    stranger = replace(trained, options=sized, weights=weights, classes=HOSTILE, config=config)
    card = model_card(stranger, 'a"b`.pt')
    page = rendered(card)
    assert not re.search(r"<(script|b|a|em|strong|img|s)\b", page)
    assert page.count("<h1>") == 1
    (paragraph,) = re.findall(r"<p>Classes, in the order of the outputs: (.*?)\.</p>", page, re.DOTALL)
    shown = ["line\\nbreak" if name == "line\nbreak" else name for name in HOSTILE]
    shown[shown.index("\ud800\u202e")], shown[shown.index("")] = "\\ud800\\u202e", "(no name)"
    assert html.unescape(paragraph) == ", ".join(shown)
    assert cells(card)["data set"] == "<b>x</b> | y"
    card.encode()
    odd = replace(trained, config={"data": {"name": 1}}, data={"train": 3, "a|b": {"num_images": 1}}, state={})
    assert cells(model_card(odd, ""))["images"] == "a|b 1"


def test_the_command_writes_it_and_scores_it_where_asked(cnn: Cnn, tiny_run: Run, tmp_path: Path) -> None:
    printed = cnn("card", tiny_run.best)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout == model_card(checkpoints.load(tiny_run.best), "best.pt")
    assert cnn("card", tiny_run.best, "--score", "-o", "card.md").returncode == 0
    scored = (tmp_path / "card.md").read_text(encoding="utf-8")
    accuracy = re.search(r"accuracy (\S+%)", cnn("eval", tiny_run.best).stdout)
    assert accuracy is not None
    assert cells(scored)["test"].startswith(f"20 {accuracy[1]} ")
