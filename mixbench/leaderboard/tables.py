"""Tables in Markdown, and how names and numbers stand in them."""

from collections.abc import Sequence

from mixbench.leaderboard.contenders import Contender
from mixbench.leaderboard.rows import Row

NOTHING = "–"
STEADY = 9
"""Decimals kept before a number is rounded for show: the last ones differ between machines."""


def table(header: Sequence[str], body: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return the lines of a table; its first `left` columns are set left, the others, numbers, right."""
    rule = ["---" if column < left else "---:" for column in range(len(header))]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *body)]


def row_name(row: Row | Contender) -> str:
    """Return the model and revision by which tables name a row, marked where its code is uncommitted."""
    return f"`{row.model}` {row.revision}" + (" (dirty)" if row.dirty else "")


def short(task_name: str) -> str:
    """Return a task's name without its benchmark."""
    return task_name.split("/")[1]


def score(value: float) -> str:
    """Return a score from 0 to 1 with three decimals: ".482"."""
    return f"{round(value, STEADY):.3f}".removeprefix("0")


def signed(value: float) -> str:
    """Return a difference of scores: "+.012", "−.012"."""
    shown = score(abs(value))
    return shown if shown == ".000" else ("+" if value > 0 else "−") + shown


def between(low: float, high: float) -> str:
    """Return an interval of scores: ".455–.509"."""
    return f"{score(low)}–{score(high)}"


def chance(p_value: float) -> str:
    """Return a p value with three decimals, "<.001" below them."""
    return "<.001" if p_value < 0.0005 else score(p_value)


def said_chance(p_value: float) -> str:
    """Return a p value for running text: "p = .043", "p < .001"."""
    return "p < .001" if p_value < 0.0005 else f"p = {score(p_value)}"


def effect(value: float) -> str:
    """Return an effect size with two decimals and its sign, none where they are 0."""
    shown = f"{abs(round(value, STEADY)):.2f}"
    return shown if shown == "0.00" else ("+" if value > 0 else "−") + shown
