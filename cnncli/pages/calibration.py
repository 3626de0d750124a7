"""A calibration curve as SVG and as a table."""

from typing import TYPE_CHECKING

from cnncli.pages.markup import percent

if TYPE_CHECKING:
    from cnncli.analysis.report import Bin, Calibration

LEFT, TOP, SIDE = 46, 24, 300  # of the square in which accuracy stands over probability, in SVG's units
BELOW, HEIGHT = 40, 60  # of the histogram: from the square, and of its highest bar
DIAGONAL = (  # where a network is as sure as it is right
    f'<line x1="{LEFT}" y1="{TOP + SIDE}" x2="{LEFT + SIDE}" y2="{TOP}" stroke="var(--ink)" stroke-dasharray="5 4"/>'
)


def draw_calibration(calibration: "Calibration") -> str:
    """Return accuracy over probability, how many images there are of each, and the numbers of both."""
    most = max(part.num_images for part in calibration.bins)
    bars = "".join(_bar(part, most) for part in calibration.bins if part.num_images)
    width, height = LEFT + SIDE + 24, TOP + SIDE + BELOW + HEIGHT + 40
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="Accuracy over probability">'
        f"{_frame()}{bars}{DIAGONAL}</svg>{_table(calibration)}"
    )


def _frame() -> str:
    """Return axes and words."""
    right, bottom = LEFT + SIDE, TOP + SIDE
    floor = bottom + BELOW + HEIGHT
    lines = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = LEFT + share * SIDE, bottom - share * SIDE
        lines += [
            f'<line x1="{LEFT}" y1="{y}" x2="{right}" y2="{y}" stroke="var(--line)"/>',
            f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{100 * share:.0f} %</text>',
            f'<text x="{x}" y="{floor + 16}" text-anchor="middle">{100 * share:.0f} %</text>',
        ]
    lines += [
        f'<line x1="{LEFT}" y1="{floor}" x2="{right}" y2="{floor}" stroke="var(--line)"/>',
        f'<text x="{LEFT}" y="{TOP - 10}">accuracy</text>',
        f'<text x="{LEFT}" y="{bottom + BELOW - 10}">images</text>',
        f'<text x="{right}" y="{floor + 34}" text-anchor="end">probability of the answer</text>',
    ]
    return "".join(lines)


def _bar(part: "Bin", most: int) -> str:
    assert part.accuracy is not None
    assert part.confidence is not None
    x, width, bottom = LEFT + part.above * SIDE + 1, (part.up_to - part.above) * SIDE - 2, TOP + SIDE
    accuracy, confidence = part.accuracy * SIDE, part.confidence * SIDE
    images = part.num_images / most * HEIGHT
    said = f"{part.num_images:,} images: {percent(part.confidence)} sure, {percent(part.accuracy)} right"
    return (
        f"<g><title>{said}</title>"
        f"{_box(x, bottom - accuracy, width, accuracy, 'var(--right)')}"
        f"{_box(x, bottom - confidence - 1.5, width, 3, 'var(--wrong)')}"
        f"{_box(x, bottom + BELOW + HEIGHT - images, width, images, 'var(--soft)')}</g>"
    )


def _box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'


def _table(calibration: "Calibration") -> str:
    rows = "".join(
        f"<tr><td>{100 * part.above:.1f} to {100 * part.up_to:.1f} %</td><td>{part.num_images:,}</td>"
        f"<td>{percent(part.confidence)}</td><td>{percent(part.accuracy)}</td></tr>"
        for part in calibration.bins
    )
    heads = "<tr><th>probability</th><th>images</th><th>mean</th><th>accuracy</th></tr>"
    return f'<div class="wide"><table><thead>{heads}</thead><tbody>{rows}</tbody></table></div>'
