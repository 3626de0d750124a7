"""A written page, read back: what a program finds in it is what the browser shows."""

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnncli.analysis.explanation import Explanation, Part, View
from cnncli.analysis.operations import Operation
from cnncli.errors import DataError
from cnncli.pages.explain.archive import FORMAT

SCRIPT = re.compile(r'<script type="[^"]*" id="([^"]*)">([^<]*)</script>')


def read_page(path: Path) -> Explanation:
    """Return what a page was written of: ``results(explanation, view)`` are the tensors of an image's forward pass.

    Raises ``DataError`` where the file is no page of ``cnn explain``.
    """
    try:
        scripts = dict(SCRIPT.findall(path.read_text(encoding="utf-8")))
        plain = json.loads(scripts.pop("manifest"))
        if plain["format"] != FORMAT:
            raise DataError(f"{path}: written by another version of cnncli; write it again with cnn explain")
        blobs = {name: zlib.decompress(base64.b64decode(text)) for name, text in scripts.items()}
        parts = [_part(part, blobs) for part in plain["parts"]]
        views = [_view(view, blobs) for view in plain["views"]]
        return Explanation(parts, views, plain["is_editable"], plain["num_weights"])
    except (AttributeError, KeyError, TypeError, ValueError, zlib.error):  # UnicodeDecodeError is a ValueError
        raise DataError(f"{path}: no page of cnn explain, or a damaged one; write it again") from None


def _part(plain: dict[str, Any], blobs: dict[str, bytes]) -> Part:
    operation = plain["operation"]
    tensors = {name: _tensor(reference, blobs) for name, reference in operation["tensors"].items()}
    restored = Operation(operation["kind"], operation["options"], tensors)
    return Part(**{**plain, "operation": restored, "inputs": tuple(plain["inputs"])})


def _view(plain: dict[str, Any], blobs: dict[str, bytes]) -> View:
    by_number = {
        key: {int(number): _tensor(reference, blobs) for number, reference in plain[key].items()}
        for key in ("outputs", "others", "sheets")
    }
    checks = {int(number): list(map(tuple, numbers)) for number, numbers in plain["checks"].items()}
    cam = None if plain["cam"] is None else _tensor(plain["cam"], blobs)
    return View(plain["name"], plain["label"], **by_number, checks=checks, cam=cam)


def _tensor(reference: dict[str, Any], blobs: dict[str, bytes]) -> Tensor:
    shape, start, content = reference["shape"], reference["offset"], blobs[reference["blob"]]
    size = int(np.prod(shape))
    if "range" in reference:
        low, high = reference["range"]
        steps = np.frombuffer(content, np.uint8, size, start).astype(np.float32)
        return torch.from_numpy(low + steps / 255 * (high - low)).float().reshape(shape)
    grouped = np.frombuffer(content, np.uint8, 4 * size, start).reshape(4, size)
    return torch.from_numpy(grouped.T.copy().view("<f4").reshape(shape))
