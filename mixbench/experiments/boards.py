"""`mixbench leaderboard`: the board of one benchmark, written, or proved from all that is here."""

from collections.abc import Sequence
from pathlib import Path

from mixbench.data import load_data
from mixbench.errors import InputError, UnknownName
from mixbench.experiments.checking import rescoring
from mixbench.experiments.comparison_report import check_showable
from mixbench.experiments.progress import say
from mixbench.files import write_atomic
from mixbench.leaderboard import Analysis, check_board, read_board, render, to_csv, to_json
from mixbench.leaderboard.board import PAGE
from mixbench.leaderboard.page import render_page
from mixbench.tasks import Task, find_tasks


def write_benchmark(
    benchmark: str,
    output: Path,
    tasks_dir: Path | None,
    csv: Path | None = None,
    json: Path | None = None,
    html: Path | None = None,
    *,
    allow_dirty: bool = False,
    with_text: bool = False,
    data_dir: Path | None = None,
) -> list[Path]:
    """Write the page of a benchmark into its folder, and what else is wanted; return all paths.

    `with_text` puts the queries of data on this machine into the HTML page. Raises InputError for a task
    whose texts may not be passed on, MissingData where the data is not here.
    """
    folder, tasks = _board_folder(benchmark, output), _board_tasks(benchmark, tasks_dir)
    analysis = read_board(folder, tasks)
    written = {folder / PAGE: render(analysis, allow_dirty=allow_dirty)}
    if csv is not None:
        written[csv] = to_csv(analysis)
    if json is not None:
        written[json] = to_json(analysis)
    if html is not None:
        texts = _query_texts(analysis, tasks, data_dir) if with_text else {}
        written[html] = render_page(analysis, texts)
    for path, text in written.items():
        write_atomic(path, text)
    return list(written)


def check_benchmark(
    benchmark: str, output: Path, tasks_dir: Path | None, data_dir: Path | None = None
) -> list[str]:
    """Return what is wrong with a benchmark's page and results, a line each.

    Runs beside results are scored again where the data is on this machine.
    """
    folder, tasks = _board_folder(benchmark, output), _board_tasks(benchmark, tasks_dir)
    return check_board(folder, tasks, rescoring(data_dir, say))


def _query_texts(
    analysis: Analysis, tasks: Sequence[Task], data_dir: Path | None
) -> dict[str, dict[str, str]]:
    """Return task -> query_id -> text of all tasks that a board shows."""
    shown = [task for task in tasks if task.name in analysis.board.task_names]
    for task in shown:
        check_showable(task)
    return {
        task.name: {
            each.prefix + query_id: text
            for each in load_data(task, data_dir=data_dir, offline=True)
            for query_id, text in each.queries.items()
        }
        for task in shown
    }


def _board_folder(benchmark: str, output: Path) -> Path:
    folder = output / benchmark
    if not folder.is_dir():
        known = [path.name for path in output.glob("*") if path.is_dir()]
        if not known:
            raise InputError(
                f"{output}: no results here; run `mixbench eval -t {benchmark}` first, or give --output"
            )
        raise UnknownName.of(f"benchmark with results in {output}", benchmark, known)
    return folder


def _board_tasks(benchmark: str, tasks_dir: Path | None) -> list[Task]:
    return [task for task in find_tasks(tasks_dir).values() if task.benchmark == benchmark]
