"""The loss curve of a run as a small SVG: training a line, held-out text dots."""

from collections.abc import Sequence

LOSS_PLOT = "loss.svg"
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 320, 56, 24, 16, 40
TRAINING, HELD_OUT = "#1f6feb", "#d1242f"


def loss_svg(losses: Sequence[tuple[int, float]], validation: Sequence[tuple[int, float]]) -> str:
    """Return the curve of (step, loss) points, in nats a token; losses of either kind may be missing."""
    points = [*losses, *validation]
    steps = max((step for step, _ in points), default=0) or 1
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    span = high - low or 1.0

    def place(step: int, loss: float) -> tuple[str, str]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / steps
        y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (loss - low) / span
        return f"{x:.1f}", f"{y:.1f}"

    line = " ".join(",".join(place(*point)) for point in losses)
    dots = [place(*point) for point in validation]
    floor = HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<path d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}" fill="none" stroke="#888"/>',
        f'<polyline points="{line}" fill="none" stroke="{TRAINING}" stroke-width="1.5"/>',
        *(f'<circle cx="{x}" cy="{y}" r="3" fill="{HELD_OUT}"/>' for x, y in dots),
        f'<text x="{LEFT - 6}" y="{TOP + 4}" text-anchor="end">{high:.2f}</text>',
        f'<text x="{LEFT - 6}" y="{floor + 4}" text-anchor="end">{low:.2f}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 12}">0</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 12}" text-anchor="end">{steps} steps</text>',
        f'<text x="{WIDTH - RIGHT}" y="16" text-anchor="end">nats a token:'
        f' <tspan fill="{TRAINING}">training</tspan> <tspan fill="{HELD_OUT}">held out</tspan></text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
