"""An explanation as text within a page, and back.

The manifest is JSON; numbers are in blobs: of each tensor all first bytes, all second bytes and so on, as signs and
exponents compress and the rest does not; deflated together, in base64.
"""

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from cnncli.analysis.explanation import Explanation, Part, View

FORMAT = 1
WEIGHTS = "weights"  # the blob with the weights; those of the images are image-0, image-1 …
Reference = dict[str, Any]  # where a tensor is: its blob's id, offset in bytes, shape, and range where it is quantised


class _Blob:
    """Collects the bytes of tensors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, tensor: "Tensor") -> Reference:
        """Keep float32 of any shape, to the bit."""
        values = np.ascontiguousarray(tensor.numpy(), dtype="<f4")
        return self._keep(values.reshape(-1, 1).view(np.uint8).T.tobytes(), list(tensor.shape))

    def add_bytes(self, tensor: "Tensor") -> Reference:
        """Keep values in 256 steps from the smallest to the largest that are finite, ``range``; NaN is the smallest."""
        values = tensor.numpy().astype(np.float64)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        shares = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1)
        steps = (shares * 255).round().astype(np.uint8)
        return {**self._keep(steps.tobytes(), list(tensor.shape)), "range": [low, high]}

    def to_text(self) -> str:
        return base64.b64encode(zlib.compress(b"".join(self._parts))).decode()

    def _keep(self, content: bytes, shape: list[int]) -> Reference:
        reference = {"blob": self.name, "offset": self._size, "shape": shape}
        self._parts.append(content)
        self._size += len(content)
        return reference


def pack(explanation: "Explanation") -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parts and views as plain data with references, and the blobs by their ids."""
    weights = _Blob(WEIGHTS)
    parts = [_packed_part(part, weights) for part in explanation.parts]
    blobs, views = [weights], []
    for number, view in enumerate(explanation.views):
        blob = _Blob(f"image-{number}")
        views.append(_packed_view(view, blob))
        blobs.append(blob)
    plain = {
        "format": FORMAT,
        "parts": parts,
        "views": views,
        "is_editable": explanation.is_editable,
        "num_weights": explanation.num_weights,
        "left_out": explanation.left_out,
    }
    return plain, {blob.name: blob.to_text() for blob in blobs}


def _packed_part(part: "Part", weights: _Blob) -> dict[str, Any]:
    operation = part.operation
    tensors = {name: weights.add(tensor) for name, tensor in operation.tensors.items()}
    plain = {"kind": operation.kind, "options": operation.options, "tensors": tensors}
    return {**{key: getattr(part, key) for key in part.__dataclass_fields__}, "operation": plain}


def _packed_view(view: "View", blob: _Blob) -> dict[str, Any]:
    return {
        "name": view.name,
        "label": view.label,
        "outputs": {number: blob.add(tensor) for number, tensor in view.outputs.items()},
        "others": {number: blob.add(tensor) for number, tensor in view.others.items()},
        "sheets": {number: blob.add_bytes(tensor) for number, tensor in view.sheets.items()},
        "checks": view.checks,
        "cam": None if view.cam is None else blob.add(view.cam),
    }


def to_script(plain: Any) -> str:
    """Return JSON as it may stand in a script element, whatever names strangers gave."""
    text = json.dumps(plain, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
