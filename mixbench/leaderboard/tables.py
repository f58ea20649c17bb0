"""Tables in Markdown."""

from collections.abc import Sequence

from mixbench.leaderboard.rows import Row


def table(header: Sequence[str], body: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return the lines of a table; its first `left` columns are set left, the others, numbers, right."""
    rule = ["---" if column < left else "---:" for column in range(len(header))]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *body)]


def row_name(row: Row) -> str:
    """Return the model and revision by which tables name a row, marked where its code is uncommitted."""
    return f"`{row.model}` {row.revision}" + (" (dirty)" if row.dirty else "")
