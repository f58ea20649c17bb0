"""The rows of a probe as a small SVG: a line for each model, over its layers or over lengths."""

from collections.abc import Sequence
from html import escape

from mixbench.experiments.estimates import Estimate
from mixbench.experiments.probe_report import ProbeRow

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 320, 48, 36, 24, 44
LINE = 18
"""Height of a line of the legend, which stands below the chart."""
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bc4c00", "#0969da", "#57606a")


def probe_svg(rows: Sequence[ProbeRow], form: str) -> str:
    """Return the chart of a form's own figure: ham of the paper's, top-1 accuracy of the fair one.

    The axis has layers where any model has several, else lengths in tokens. Bars are 95 % intervals.
    """
    by_layer = any(row.layer != other.layer for row in rows for other in rows if row.model == other.model)
    places = sorted({row.layer if by_layer else row.tokens for row in rows})
    lines: dict[str, list[tuple[int, Estimate]]] = {}
    for row in rows:
        label = f"{row.model}, {row.tokens} tokens" if by_layer else f"{row.model}, layer {row.layer}"
        figure = row.ham if form == "paper" else row.top1
        lines.setdefault(label, []).append((row.layer if by_layer else row.tokens, figure))
    title = f"{'ham' if form == 'paper' else 'top-1 accuracy'}, {form} form"
    parts = _frame(title, "layer" if by_layer else "tokens", places, legend=len(lines))
    for number, (label, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points.sort(key=lambda point: point[0])
        parts += _line([(_x(places.index(place), places), figure) for place, figure in points], colour)
        y = HEIGHT + LINE * number + 6
        parts.append(f'<text x="{LEFT}" y="{y}" fill="{colour}">{escape(label)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _frame(title: str, axis: str, places: Sequence[int], *, legend: int) -> list[str]:
    """Return the opening of the chart: its axes with their words, and room for `legend` lines below."""
    height, floor = HEIGHT + LINE * legend, HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<path d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}" fill="none" stroke="#888"/>',
        f'<text x="{LEFT}" y="18">{title}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{axis}</text>',
    ]
    for share in (0, 0.5, 1):
        parts.append(f'<text x="{LEFT - 6}" y="{_y(share) + 4:.1f}" text-anchor="end">{share:g}</text>')
    for number, place in enumerate(places):
        x = _x(number, places)
        parts.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{place}</text>')
    return parts


def _line(points: Sequence[tuple[float, Estimate]], colour: str) -> list[str]:
    line = " ".join(f"{x:.1f},{_y(figure.mean):.1f}" for x, figure in points)
    marks = [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>']
    for x, figure in points:
        low, high = _y(figure.low), _y(figure.high)
        marks.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}"/>')
        marks.append(f'<circle cx="{x:.1f}" cy="{_y(figure.mean):.1f}" r="3" fill="{colour}"/>')
    return marks


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def _x(number: int, places: Sequence[int]) -> float:
    return LEFT + 20 + number * (WIDTH - LEFT - RIGHT - 40) / max(1, len(places) - 1)
