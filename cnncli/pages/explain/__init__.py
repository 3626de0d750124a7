"""A forward pass with every number, as one HTML page that needs nothing else."""

from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from cnncli import __version__, files
from cnncli.pages.explain.archive import pack, to_script
from cnncli.pages.explain.bundle import bundle, style
from cnncli.pages.markup import text
from cnncli.text import one_line

if TYPE_CHECKING:
    from cnncli.analysis.explanation import Explanation
    from cnncli.checkpoint import Checkpoint

SOURCES = Path(__file__).parent


def write_page(path: Path, explanation: "Explanation", checkpoint: "Checkpoint", name: str) -> None:
    """Write the page of an explanation, whole or not at all; ``name`` is the checkpoint's."""
    with files.whole(path) as file:
        file.write(page_of(explanation, checkpoint, name).encode())


def page_of(explanation: "Explanation", checkpoint: "Checkpoint", name: str) -> str:
    """Return the page."""
    plain, blobs = pack(explanation)
    about: dict[str, Any] = {
        "version": __version__,
        "model": checkpoint.model,
        "checkpoint": one_line(name),
        "classes": list(map(one_line, checkpoint.classes)),
        "preprocess": checkpoint.preprocess,
    }
    template = Template((SOURCES / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=text(f"Inside {checkpoint.model}"),
        style=style(),
        manifest=to_script({**about, **plain}),
        blobs="\n".join(
            f'<script type="application/octet-stream" id="{name}">{content}</script>' for name, content in blobs.items()
        ),
        script=bundle(),
    )
