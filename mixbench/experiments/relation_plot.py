"""Models as points of a small SVG: what a probe found against nDCG@10, a chart for each probe."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

SIDE, LEFT, TOP, GAP, LINE = 260, 52, 36, 72, 16


def relation_svg(models: Sequence[Mapping[str, Any]], probes: Sequence[str], figure: str) -> str:
    """Return charts of `figure` over each of `probes`; points are numbered, and named below."""
    width = LEFT + len(probes) * (SIDE + GAP)
    floor = TOP + SIDE
    lines = -(-len(models) // 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {floor + 56 + LINE * lines}"'
        ' font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, probe in enumerate(probes):
        parts += _chart(models, probe, figure, LEFT + number * (SIDE + GAP))
    for number, row in enumerate(models):
        x, y = LEFT + (number % 2) * (SIDE + GAP), floor + 56 + LINE * (number // 2)
        parts.append(f'<text x="{x}" y="{y}">{number + 1} {escape(row["model"])}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _chart(models: Sequence[Mapping[str, Any]], probe: str, figure: str, left: int) -> list[str]:
    floor = TOP + SIDE
    xs, ys = [row[probe] for row in models], [row[figure] for row in models]
    parts = [
        f'<path d="M{left} {TOP}V{floor}H{left + SIDE}" fill="none" stroke="#888"/>',
        f'<text x="{left}" y="{TOP - 10}">{escape(figure)}</text>',
        f'<text x="{left + SIDE / 2}" y="{floor + 34}" text-anchor="middle">top-1, {escape(probe)}</text>',
    ]
    for share, x, y in ((0, min(xs), min(ys)), (1, max(xs), max(ys))):
        at_x, at_y = left + share * SIDE, floor - share * SIDE
        parts.append(f'<text x="{at_x}" y="{floor + 16}" text-anchor="middle">{x:.3f}</text>')
        parts.append(f'<text x="{left - 6}" y="{at_y + 4}" text-anchor="end">{y:.3f}</text>')
    for number, (x, y) in enumerate(zip(xs, ys, strict=True), start=1):
        across, up = left + SIDE * _share(x, xs), floor - SIDE * _share(y, ys)
        parts.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="#1f6feb"/>')
        parts.append(f'<text x="{across + 5:.1f}" y="{up - 4:.1f}">{number}</text>')
    return parts


def _share(value: float, among: Sequence[float]) -> float:
    low, high = min(among), max(among)
    return (value - low) / (high - low) if high > low else 0.5
