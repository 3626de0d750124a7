"""How large pages are, and what their numbers look like in them."""

import json
import re
import zlib
from base64 import b64decode

import numpy as np
import pytest
import torch

from cnncli.analysis.explanation import explain
from cnncli.pages.explain.archive import pack, to_script
from tests.analysis.test_explanation import network
from tests.pages.explain.pages import written

CODE = 160_000  # bytes of HTML, CSS and JavaScript at most


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("lenet5", 700_000),
        ("tinyvgg", 700_000),
        ("alexnet", 5_000_000),
        ("alexnet of 2012", 5_000_000),
        ("resnet18", 12_000_000),
    ],
)
def test_pages_are_small(name: str, largest: int) -> None:
    """Weights are drawn, which compress no better than trained ones."""
    model, images = network(name)
    plain, blobs = pack(explain(model, images[:1], ["a.png"], [1], cam=True))
    assert len(to_script(plain)) + sum(map(len, blobs.values())) + CODE <= largest


def test_the_page_itself_is_small() -> None:
    page = written()
    data = re.findall(r"<script type=\"application/[^>]*>([^<]*)</script>", page.html)
    assert len(page.html.encode()) - sum(map(len, data)) <= CODE


def test_bytes_of_equal_place_are_together() -> None:
    """Written out with NumPy: of little-endian floats all first bytes, all second, all third, all fourth."""
    page = written()
    plain, blobs = pack(page.explanation)
    reference = plain["views"][0]["outputs"][0]
    assert (reference["blob"], reference["shape"]) == ("image-0", [1, 28, 28])
    content = zlib.decompress(b64decode(blobs["image-0"]))
    planes = [content[reference["offset"] + plane * 784 :][:784] for plane in range(4)]
    numbers = np.array([list(plane) for plane in planes], np.uint8).T.copy().view("<f4")[:, 0]
    assert torch.equal(torch.from_numpy(numbers).reshape(1, 28, 28), page.images[0])


def test_a_manifest_ends_no_script_and_has_no_number_that_json_lacks() -> None:
    plain = {"name": "</script><!--&\u2028\ud800", "share": 0.1}
    script = to_script(plain)
    assert json.loads(script) == plain
    assert script.isascii()
    assert not set("<>&") & set(script)
    with pytest.raises(ValueError, match="JSON"):
        to_script({"loss": float("nan")})
