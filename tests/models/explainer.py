"""What CNN Explainer answers: an acceptance case beside the checkout, where there is one."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.conftest import SHARED

EXPLAINER = SHARED / "cnn_explainer"

needs_explainer = pytest.mark.skipif(not EXPLAINER.is_dir(), reason="the weights of CNN Explainer are not here")


def expected() -> dict[str, Any]:
    """Return the answers, by image."""
    answers: dict[str, Any] = json.loads((EXPLAINER / "expected.json").read_text()) if EXPLAINER.is_dir() else {}
    return answers.get("images", {})


def check(name: str, logits: Tensor) -> None:
    """Compare the logits [10] of an image with those of CNN Explainer."""
    answer = expected()[name]
    pixels = np.array(Image.open(EXPLAINER / "images" / name).convert("RGB"))
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == answer["rgb_sha256"]
    torch.testing.assert_close(logits, torch.tensor(answer["logits"]), rtol=0, atol=1e-4)
    torch.testing.assert_close(logits.softmax(0), torch.tensor(answer["softmax"]), rtol=0, atol=1e-4)
    assert int(logits.argmax()) == answer["predicted_index"]
