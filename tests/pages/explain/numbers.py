"""Numbers as pages write them."""

import re


def numbers(text: str) -> list[float]:
    """Return the numbers in a text of the page, whose minus is a true one."""
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text.replace("−", "-"))]
