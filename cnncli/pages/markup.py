"""Names, numbers and pictures as HTML that needs nothing else."""

import base64
import io
from html import escape

from PIL import Image

from cnncli.text import one_line


def text(name: object) -> str:
    """Return what strangers wrote as it may stand in a page, also within quotes."""
    return escape(one_line(str(name)))


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 with two digits; a dash for none."""
    return "–" if share is None else f"{share:.2%}".replace("%", " %")


def exact(share: float, shown: str) -> str:
    """Return a number as it is ``shown``, with all its digits beside it for whoever reads the page by program."""
    return f'<data value="{share!r}">{shown}</data>'


def data_url(image: Image.Image) -> str:
    """Return a picture as the address that it can be shown from, in the page itself."""
    content = io.BytesIO()
    image.save(content, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
