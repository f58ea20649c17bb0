"""The tables of costs: one for each machine, since speeds on different machines are no comparison."""

from collections.abc import Sequence

from mixbench.leaderboard.rows import Board
from mixbench.leaderboard.tables import row_name, table
from mixbench.results import Result

HEADER = (
    "Model",
    "Tasks",
    "Parameters",
    "MFLOPs/document",
    "Documents/s",
    "Queries/s",
    "Peak memory MB",
    "Index MB",
)


def cost_tables(board: Board) -> list[str]:
    """Return the lines of the section on costs."""
    lines = [
        "## Costs",
        "",
        "Wall clock of one run, encoding included, one table a machine. Rates are over all tasks of a row;",
        "memory (10^6 bytes) is the most that the process held during a task, the index that of the largest.",
        "Floating-point operations (10^6) encode one document of the row's tasks, without padding.",
    ]
    machines = sorted({_machine(result) for result in board.results()})
    for machine in machines:
        lines += ["", f"### {machine}", "", *_table(board, machine)]
    return lines


def _table(board: Board, machine: str) -> list[str]:
    body = []
    for row in board.rows:
        results = [result for result in row.results.values() if _machine(result) == machine]
        if results:
            body.append([row_name(row), f"{len(results)} of {len(board.task_names)}", *_figures(results)])
    on_device = any(len(cells) > len(HEADER) for cells in body)
    header = [*HEADER, "Peak device MB"] if on_device else list(HEADER)
    return table(header, [cells + ["–"] * (len(header) - len(cells)) for cells in body])


def _figures(results: Sequence[Result]) -> list[str]:
    if any(result.from_stored_run for result in results):  # what it took to make the run, nobody measured
        return ["–"] * (len(HEADER) - 2)
    costs = [result.costs for result in results]
    documents = sum(result.n_documents for result in results)
    queries = sum(result.n_queries for result in results)
    figures = [
        f"{max(cost.parameters for cost in costs):,}",
        _flops(results),
        _rate(documents / sum(cost.index_seconds for cost in costs)),
        _rate(queries / sum(cost.search_seconds for cost in costs)),
        f"{max(cost.peak_memory_bytes for cost in costs) / 1e6:,.0f}",
        f"{max(cost.index_bytes for cost in costs) / 1e6:,.1f}",
    ]
    device = [cost.peak_device_bytes for cost in costs if cost.peak_device_bytes is not None]
    return [*figures, f"{max(device) / 1e6:,.0f}"] if device else figures


def _flops(results: Sequence[Result]) -> str:
    total = 0
    for result in results:
        if result.costs.flops_per_document is None:
            return "–"
        total += result.costs.flops_per_document * result.n_documents
    return f"{total / sum(result.n_documents for result in results) / 1e6:,.0f}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _machine(result: Result) -> str:
    provenance = result.provenance
    return f"{provenance.machine}, {provenance.device}, {provenance.threads} threads"
