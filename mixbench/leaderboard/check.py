"""The check of a board: every number on its page recomputed, from the page back to the rankings."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mixbench.errors import InputError, MixbenchError
from mixbench.leaderboard.analysis import analyse
from mixbench.leaderboard.board import HTML_PAGE, PAGE
from mixbench.leaderboard.evidence import read_evidence
from mixbench.leaderboard.markdown import render
from mixbench.leaderboard.page import render_page
from mixbench.results import (
    QueryScores,
    Result,
    check_places,
    in_domain_sources,
    mean_scores,
    read_query_scores,
    read_result,
    result_paths,
    revision_of,
)
from mixbench.tasks import Task

Rescore = Callable[[Path, Result, Task, QueryScores], list[str]]
"""Says, a line each, what of a result's query scores its rankings and the data contradict."""


def check_board(folder: Path, tasks: Sequence[Task], rescore: Rescore | None = None) -> list[str]:
    """Return what is wrong with a benchmark's page and results, a line for each; nothing where all is proved.

    Scores are recomputed from the query scores, and these by `rescore`; hashes, marks and the page from the
    results and task files.
    """
    known = {task.name: task for task in tasks}
    problems, results = [], []
    for path in result_paths(folder):
        try:
            result = read_result(path)
            found = _problems(path, result, known.get(result.task), rescore)
            problems += [f"{path}: {problem}" for problem in found]
        except InputError as error:
            problems.append(str(error))
        else:
            results.append(result)
    return problems + _page_problems(folder, tasks, results)


def _page_problems(folder: Path, tasks: Sequence[Task], results: Sequence[Result]) -> list[str]:
    """Return what is wrong with the Markdown page, and with the HTML page where the folder has one."""
    again = f"run `mixbench leaderboard {folder.name}`"
    try:
        check_places(result_paths(folder))
        evidence = read_evidence(folder, results)
        first = analyse(folder.resolve().name, results, tasks, evidence)
        problems = _differs(folder / PAGE, render(first), again)
        if (folder / HTML_PAGE).exists():
            html = folder / HTML_PAGE
            problems += _differs(html, render_page(first), f"{again} with --html {html}")
    except MixbenchError as error:
        return [f"{folder / PAGE}: {error}"]
    return problems


def _differs(page: Path, rendered: str, again: str) -> list[str]:
    try:
        written = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [f"{page}: cannot be read ({error}); {again}"]
    return [] if written == rendered else [f"{page}: not the page of these results; {again}"]


def _problems(path: Path, result: Result, task: Task | None, rescore: Rescore | None) -> list[str]:
    query_scores = read_query_scores(path, result)
    n_queries = len(query_scores["ndcg_at_10"])
    scores, parts = mean_scores(query_scores, list(result.parts))
    checks = {
        "the scores are not the means of the query scores": (scores, parts) == (result.scores, result.parts),
        "n_queries is not the number of query scores": n_queries == result.n_queries,
        "the identity is not that of its fields": result.recomputed_identity() == result.identity,
        "the revision is not that of the recipe": revision_of(result.recipe) == result.revision,
        "model_sha256 is not that of the recipe": result.model_sha256 == result.recipe.get("model_sha256"),
    }
    if task is not None:
        checks |= _task_checks(result, task)
    found = [problem for problem, proved in checks.items() if not proved]
    if task is not None and rescore is not None:
        found += rescore(path, result, task, query_scores)
    return [f"{problem}; evaluate again with --overwrite" for problem in found]


def _task_checks(result: Result, task: Task) -> dict[str, bool]:
    matches = None if task.sha256 is None else task.sha256 == result.data_sha256
    return {
        "in_domain is not what the task file says": result.in_domain
        == in_domain_sources(task, result.training_sources or ()),
        "data_matches_task is not what the task file says": result.data_matches_task == matches,
        "the split, parts, metric or marks are not those of the task file": (
            result.split,
            list(result.parts),
            result.main_metric,
            result.known_item,
            result.remove_identical,
        )
        == (task.eval_split, list(task.parts), task.main_metric, task.known_item, task.remove_identical),
    }
