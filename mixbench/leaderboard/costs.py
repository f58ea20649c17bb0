"""The tables of costs: one for each machine, since speeds on different machines are no comparison."""

from collections.abc import Sequence

from mixbench.leaderboard.figures import Figures, figures_of, machine_of
from mixbench.leaderboard.rows import Board
from mixbench.leaderboard.tables import NOTHING, row_name, table

HEADER = (
    "Model",
    "Tasks",
    "Parameters",
    "MFLOPs/document",
    "Documents/s",
    "Queries/s",
    "Query p50 ms",
    "Query p95 ms",
    "Peak memory MB",
    "Index MB",
    "Peak device MB",
)


def cost_tables(board: Board) -> list[str]:
    """Return the lines of the section on costs."""
    lines = [
        "## Costs",
        "",
        "Wall clock of one run, encoding included, one table a machine. Rates are over all tasks of a row;",
        "a query's time is that of one searched alone, on the slowest task. Memory (10^6 bytes) is the most",
        "that the process held during a task, the index that of the largest. Floating-point operations",
        "(10^6, a multiply-add being two) encode one document of the row's tasks, without padding.",
    ]
    machines = sorted({machine_of(result) for result in board.results()})
    for machine in machines:
        lines += ["", f"### {machine}", "", *_table(board, machine)]
    return lines


def _table(board: Board, machine: str) -> list[str]:
    body, on_device = [], False
    for row in board.rows:
        results = [result for result in row.results.values() if machine_of(result) == machine]
        if results:
            figures = figures_of(results)
            on_device |= figures is not None and figures.peak_device_bytes is not None
            body.append([row_name(row), f"{len(results)} of {len(board.task_names)}", *_shown(figures)])
    columns = len(HEADER) if on_device else len(HEADER) - 1
    return table(HEADER[:columns], [cells[:columns] for cells in body])


def _shown(figures: Figures | None) -> Sequence[str]:
    if figures is None:
        return [NOTHING] * (len(HEADER) - 2)
    flops, device = figures.flops_per_document, figures.peak_device_bytes
    return [
        f"{figures.parameters:,}",
        NOTHING if flops is None else f"{flops / 1e6:,.0f}",
        NOTHING if figures.documents_per_second is None else _rate(figures.documents_per_second),
        _rate(figures.queries_per_second),
        *(
            NOTHING if each is None else _rate(each * 1e3)
            for each in (figures.query_seconds_p50, figures.query_seconds_p95)
        ),
        NOTHING if figures.peak_memory_bytes is None else f"{figures.peak_memory_bytes / 1e6:,.0f}",
        f"{figures.index_bytes / 1e6:,.1f}",
        NOTHING if device is None else f"{device / 1e6:,.0f}",
    ]


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
