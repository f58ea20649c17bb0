"""A board on disk: a benchmark's README.md among its results, written, and checked against them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mixbench.errors import InputError, MixbenchError
from mixbench.files import write_atomic
from mixbench.leaderboard.markdown import render
from mixbench.results import (
    Result,
    find_results,
    in_domain_sources,
    mean_scores,
    read_query_scores,
    read_result,
    result_paths,
    revision_of,
)
from mixbench.tasks import Task

PAGE = "README.md"


def write_board(folder: Path, tasks: Iterable[Task], *, allow_dirty: bool = False) -> Path:
    """Write the page of the benchmark whose folder of results is `folder`; return the page's path.

    `tasks` are the benchmark's. Raises MixbenchError as `render` does, and as `find_results`.
    """
    page = folder / PAGE
    write_atomic(page, render(folder.resolve().name, find_results(folder), tasks, allow_dirty=allow_dirty))
    return page


def check_board(folder: Path, tasks: Sequence[Task]) -> list[str]:
    """Return what is wrong with a benchmark's page and results, a line for each; nothing where all is proved.

    Scores are recomputed from the query scores; hashes, marks and the page from the results and task files.
    """
    known = {task.name: task for task in tasks}
    problems, results = [], []
    for path in result_paths(folder):
        try:
            result = read_result(path)
            problems += [f"{path}: {problem}" for problem in _problems(path, result, known.get(result.task))]
        except InputError as error:
            problems.append(str(error))
        else:
            results.append(result)
    page = folder / PAGE
    try:
        written = page.read_text(encoding="utf-8")
        if written != render(folder.resolve().name, results, tasks):
            problems.append(
                f"{page}: not the page of these results; run `mixbench leaderboard {folder.name}`"
            )
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{page}: cannot be read ({error}); run `mixbench leaderboard {folder.name}`")
    except MixbenchError as error:
        problems.append(f"{page}: {error}")
    return problems


def _problems(path: Path, result: Result, task: Task | None) -> list[str]:
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
    return [f"{problem}; evaluate again with --overwrite" for problem, proved in checks.items() if not proved]


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
