"""Curves of language models as a small SVG: held-out loss over each axis, a line for each model."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mixbench.experiments.probe_plot import COLOURS

WIDE, HIGH, LEFT, TOP, GAP, LINE = 260, 220, 48, 36, 64, 16


def curves_svg(models: Sequence[Mapping[str, Any]], axes: Sequence[str]) -> str:
    """Return a chart for each of `axes`. What was before the first step is left out: it is chance."""
    width, floor = LEFT + len(axes) * (WIDE + GAP), TOP + HIGH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {floor + 48 + LINE * len(models)}"'
        ' font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="{TOP - 14}">held-out loss, nats a token</text>',
    ]
    for number, axis in enumerate(axes):
        parts += _chart(models, axis, LEFT + number * (WIDE + GAP))
    for number, model in enumerate(models):
        colour, y = COLOURS[number % len(COLOURS)], floor + 52 + LINE * number
        parts.append(f'<text x="{LEFT}" y="{y}" fill="{colour}">{escape(model["model"])}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _chart(models: Sequence[Mapping[str, Any]], axis: str, left: int) -> list[str]:
    floor = TOP + HIGH
    curves = [model["curve"][1:] or model["curve"] for model in models]
    losses = [point["loss"] for curve in curves for point in curve]
    low, high = min(losses), max(losses)
    end = max(curve[-1][axis] for curve in curves) or 1
    parts = [
        f'<path d="M{left} {TOP}V{floor}H{left + WIDE}" fill="none" stroke="#888"/>',
        f'<text x="{left + WIDE / 2}" y="{floor + 30}" text-anchor="middle">{axis}</text>',
        f'<text x="{left}" y="{floor + 16}" text-anchor="middle">0</text>',
        f'<text x="{left + WIDE}" y="{floor + 16}" text-anchor="middle">{end:.3g}</text>',
        f'<text x="{left - 6}" y="{TOP + 4}" text-anchor="end">{high:.2f}</text>',
        f'<text x="{left - 6}" y="{floor + 4}" text-anchor="end">{low:.2f}</text>',
    ]
    for number, curve in enumerate(curves):
        points = " ".join(
            f"{left + WIDE * point[axis] / end:.1f},"
            f"{floor - HIGH * (point['loss'] - low) / (high - low or 1):.1f}"
            for point in curve
        )
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return parts
