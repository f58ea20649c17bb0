"""What verbs print: score tables, reports on data, what was measured."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from rich.table import Table
from rich.text import Text

from mixbench.data.check import check_folder, record_sha256
from mixbench.data.load import load_data
from mixbench.errors import InputError
from mixbench.experiments.probe_plot import probe_svg
from mixbench.experiments.probe_report import ProbeRow, probe_table
from mixbench.experiments.searching import Search
from mixbench.experiments.terminal import Terminal
from mixbench.files import write_atomic
from mixbench.results import METRICS, Result
from mixbench.tasks import find_tasks

WIDE = 200


def print_results(results: Sequence[Result], *, as_json: bool) -> None:
    """Print main scores, a row for each model revision and a column for each task; or the results as JSON."""
    if as_json:
        _write(json.dumps([result.model_dump(mode="json") for result in results], indent=2) + "\n")
        return
    tasks = list(dict.fromkeys(result.task for result in results))
    rows: dict[tuple[str, str], dict[str, Result]] = {}
    for result in results:
        rows.setdefault((result.model, result.revision), {})[result.task] = result
    metrics = sorted({METRICS[result.main_metric] for result in results})
    table = Table(title=f"{', '.join(metrics)} († trained on data of this task)", title_justify="left")
    for heading in ("model", *tasks, "documents/s", "parameters"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for (model, _), cells in rows.items():
        scores = [_cell(cells[task]) if task in cells else "" for task in tasks]
        parameters = next(iter(cells.values())).costs.parameters
        figures = [_pace(list(cells.values())), f"{parameters:,}"]
        if any(cell.from_stored_run for cell in cells.values()):
            figures = ["–", "–"]
        table.add_row(model, *scores, *figures)
    _console().print(table)


def print_search(search: Search, *, as_json: bool) -> None:
    """Print what a search found, the best first; relevant documents are marked."""
    if as_json:
        _write(json.dumps(search.to_dict(), indent=2, ensure_ascii=False) + "\n")
        return
    console = _console()
    judged = "not a query of this task, so nothing is judged"
    if search.query_id is not None:
        found = sum((hit.relevance or 0) > 0 for hit in search.hits)
        judged = f"query {search.query_id}: {found} of {search.relevant} relevant documents found"
    console.print(f"{search.model} on {search.task}: {search.query}", markup=False, soft_wrap=True)
    console.print(judged, markup=False, soft_wrap=True)
    table = Table(show_lines=False)
    for heading in ("", "score", "relevance", "document", "title and text"):
        table.add_column(heading, justify="right" if heading in {"", "score"} else "left")
    for hit in search.hits:
        grade = "" if hit.relevance is None else f"✓ {hit.relevance}" if hit.relevance > 0 else "✗"
        text = Text(f"{hit.title}: " * bool(hit.title) + hit.snippet)
        table.add_row(str(hit.rank), f"{hit.score:.4f}", grade, Text(hit.doc_id), text)
    console.print(table)


def print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows that have the same keys as a table, or as JSON."""
    if as_json:
        _write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table()
    for key in rows[0] if rows else ():
        table.add_column(
            key.replace("_", " "), justify="right" if isinstance(rows[0][key], float) else "left"
        )
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    _console().print(table if rows else "none")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def print_probe(rows: Sequence[ProbeRow], form: str, plot: Path | None, *, as_json: bool) -> None:
    """Print rows of a probe as a table, or as JSON; `plot` is written with their chart."""
    if plot is not None:
        write_atomic(plot, probe_svg(rows, form))
    if as_json:
        _write(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    else:
        _console().print(probe_table(rows, form))


class Measured(Protocol):
    """What a verb measured, as JSON and as a table."""

    def to_json(self) -> str: ...

    def table(self) -> Table: ...


def print_measured(report: Measured, output: Path | None, *, as_json: bool) -> None:
    """Print a report as a table, or whole as JSON, which `output` is written with too."""
    if output is not None:
        write_atomic(output, report.to_json())
    if as_json:
        _write(report.to_json())
    else:
        _console().print(report.table())


def print_table(table: Table) -> None:
    """Print a table."""
    _console().print(table)


def describe_data(folder: Path, *, record: bool, tasks_dir: Path | None) -> str:
    """Return what is in a BEIR folder; with `record` write its hash into the tasks of that folder's name.

    Raises InputError for data that cannot be used, and where no task is of that folder.
    """
    report = check_folder(folder)
    lines = [
        f"{report.folder}: {report.documents} documents"
        f" ({report.empty_documents} empty, {report.duplicate_documents} duplicates)"
    ]
    lines += [
        f"{each.split}: {each.queries} queries, {each.judgments} judgments, sha256 {each.sha256}"
        for each in report.splits
    ]
    if record:
        place = folder.resolve()
        tasks = [task for task in find_tasks(tasks_dir).values() if task.folder == place.name]
        if not tasks:
            raise InputError(
                f"no task has the folder {place.name!r}, so there is nowhere to record its sha256"
            )
        for task in tasks:
            data = load_data(task, data_dir=place.parent, offline=True)
            lines.append(f"recorded in {record_sha256(task, data, tasks_dir)}")
    return "\n".join(lines)


def _pace(results: Sequence[Result]) -> str:
    """Return the documents encoded in a second, "stored" where some were read in place of that."""
    seconds = [each.costs.index_seconds for each in results if each.costs.index_seconds is not None]
    if len(seconds) < len(results):
        return "stored"
    return f"{sum(each.n_documents for each in results) / max(sum(seconds), 1e-9):,.0f}"


def _cell(result: Result) -> str:
    return f"{result.scores.of(result.main_metric):.4f}{'†' if result.in_domain else ''}"


def _console() -> Terminal:
    """Return standard output; wide where it is no terminal, so that no cell is cut in a file or a pipe."""
    return Terminal(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def _write(text: str) -> None:
    sys.stdout.write(text)
