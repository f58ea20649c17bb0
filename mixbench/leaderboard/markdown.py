"""A benchmark's page in Markdown: the rules first, then the tables, then how to make each row again.

The same results and task files give the same bytes.
"""

import json
from collections.abc import Iterable, Sequence

from mixbench.errors import MixbenchError
from mixbench.leaderboard.costs import cost_tables
from mixbench.leaderboard.rows import Board, Row, gather
from mixbench.leaderboard.tables import row_name, table
from mixbench.results import METRICS, Result, folder_name
from mixbench.tasks import Task

NOTHING = "–"
IN_DOMAIN, UNKNOWN, OTHER_DATA = "†", "?", "‡"


def render(
    benchmark: str, results: Iterable[Result], tasks: Iterable[Task], *, allow_dirty: bool = False
) -> str:
    """Return the page of `benchmark`, whose links lead to result files below its own folder.

    `tasks` are the benchmark's, those without results too. Raises MixbenchError where there are no results,
    and for results of uncommitted code, unless `allow_dirty`, which marks them.
    """
    board = gather(benchmark, results, tasks)
    dirty = [str(result.place) for result in board.results() if result.provenance.dirty]
    if dirty and not allow_dirty:
        raise MixbenchError(f"made by uncommitted code: {', '.join(dirty)}; commit, then eval --overwrite")
    sections = [
        [f"# {benchmark}"],
        _introduction(board),
        _rules(board),
        ["## Main scores", "", *_main_table(board)],
        ["## Other metrics", "", "Means over the tasks of this page.", "", *_metrics_table(board)],
        cost_tables(board),
        _published(board),
        ["## How each row was made", *(line for row in board.rows for line in _how(row))],
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _introduction(board: Board) -> list[str]:
    name = board.benchmark
    lines = [
        f"Written by `mixbench leaderboard {name}` from the result files below this folder, and checked by",
        f"`mixbench leaderboard {name} --check`. Each score links to the file that proves it; the scores of",
        "the single queries lie beside that file.",
    ]
    if board.absent:
        total = len(board.absent) + len(board.task_names)
        said = f"**Partial: {len(board.task_names)} of {total} tasks have results here.**"
        lines += ["", f"{said} Without any: {', '.join(_short(name) for name in board.absent)}."]
    return lines


def _rules(board: Board) -> list[str]:
    results = board.results()
    metrics = {name: METRICS[_metric(board, name)] for name in board.task_names}
    kinds = sorted(set(metrics.values()))
    each = kinds[0] if len(kinds) == 1 else ", ".join(f"{_short(name)} {metrics[name]}" for name in metrics)
    rules = [
        f"Main score: {each}, by trec_eval's code. A query for which nothing is found counts as 0.",
        "A row is one revision of a model: a hash over its weights and all settings that change a ranking.",
        "Rows are in the order of their means. One that lacks a task of this page has none and comes last.",
        f"{IN_DOMAIN} in-domain: the model or its teacher was trained on data of the task or its collection.",
    ]
    if any(result.training_sources is None for result in results):
        rules.append(f"{UNKNOWN} nobody says what the model was trained on.")
    if any(map(board.other_data, results)):
        said = "not the data that the task records, or that most rows read"
        rules.append(f"{OTHER_DATA} {said}: not comparable within its column.")
    for said, chosen in (
        ("Known-item tasks, each query made from the document it looks for", _names(results, "known_item")),
        (
            "A document with the query's own id is removed, as mteb does, in",
            _names(results, "remove_identical"),
        ),
    ):
        if chosen:
            rules.append(f"{said}: {', '.join(chosen)}.")
    private = sorted(_short(name) for name in board.task_names if not _reproducible(board, name))
    if private:
        rules.append(f"Not reproducible outside, nobody else can make the same data: {', '.join(private)}.")
    return ["## Rules", "", *(f"- {rule}" for rule in rules)]


def _main_table(board: Board) -> list[str]:
    several = len(board.task_names) > 1
    header = ["Model", *(["Mean"] if several else []), *map(_short, board.task_names)]
    body = []
    for row in board.rows:
        marks = "".join(
            mark
            for mark in (IN_DOMAIN, UNKNOWN, OTHER_DATA)
            if any(mark in _marks(board, result) for result in row.results.values())
        )
        mean = row.mean(board.task_names)
        means = [NOTHING if mean is None else _score(mean) + marks] if several else []
        body.append([row_name(row), *means, *(_cell(board, row, name) for name in board.task_names)])
    return table(header, body)


def _cell(board: Board, row: Row, task_name: str) -> str:
    result = row.results.get(task_name)
    if result is None:
        return NOTHING
    link = f"{folder_name(row.model)}/{row.revision}/{_short(task_name)}.json"
    return f"[{_score(result.scores.of(_metric(board, task_name)))}]({link}){_marks(board, result)}"


def _marks(board: Board, result: Result) -> str:
    training = UNKNOWN if result.training_sources is None else IN_DOMAIN if result.in_domain else ""
    return training + (OTHER_DATA if board.other_data(result) else "")


def _metrics_table(board: Board) -> list[str]:
    header = ["Model", *METRICS.values(), "Empty rankings", "Documents cut"]
    body = []
    for row in board.rows:
        means = [row.mean(board.task_names, metric) for metric in METRICS]
        results = row.results.values()
        empty = sum(result.empty_rankings for result in results)
        queries = sum(result.n_queries for result in results)
        scores = [NOTHING if mean is None else _score(mean) for mean in means]
        body.append([row_name(row), *scores, f"{empty} of {queries:,}", _cut(list(results))])
    return table(header, body)


def _cut(results: Sequence[Result]) -> str:
    """Share of documents longer than the model reads, over all tasks, where the retriever says."""
    cut = [(result.truncated_share, result.n_documents) for result in results]
    known = [(share, documents) for share, documents in cut if share is not None]
    if len(known) < len(cut):
        return NOTHING
    return f"{sum(share * documents for share, documents in known) / sum(n for _, n in known):.1%}"


def _published(board: Board) -> list[str]:
    """Published scores beside ours, where the last part of a model's name is that of a published system."""
    body = []
    for name in board.task_names:
        task = board.tasks.get(name)
        published = {key.casefold(): value for key, value in task.reference.items()} if task else {}
        for row in board.rows:
            reference = published.get(row.model.split("/")[-1].casefold())
            if reference is not None and name in row.results:
                ours = row.results[name].scores.of(_metric(board, name))
                numbers = [f"{reference:.4f}", f"{ours:.4f}", f"{ours - reference:+.4f}"]
                body.append([_short(name), row_name(row), *numbers])
    if not body:
        return []
    said = (
        "Published scores are a check on the harness: settings and copies of the data can differ from ours."
    )
    header = ["Task", "Model", "Published", "Ours", "Difference"]
    return ["## Published scores", "", said, "", *table(header, body, left=2)]


def _how(row: Row) -> list[str]:
    results = list(row.results.values())
    training = results[0].training_command
    commands = dict.fromkeys([*filter(None, [training]), *(each.provenance.command for each in results)])
    made = {
        (each.provenance.commit, each.provenance.source_sha256, each.provenance.mixbench) for each in results
    }
    sources = results[0].training_sources
    trained = "nobody says" if sources is None else ", ".join(sources) or "nothing"
    lines = [
        "",
        f"### {row_name(row)}",
        "",
        *(f"    {line}" for text in commands for line in text.splitlines()),
    ]
    lines += ["", f"- recipe: `{json.dumps(results[0].recipe, sort_keys=True, ensure_ascii=False)}`"]
    lines += [f"- trained on: {trained}"]
    for commit, source, version in sorted(made, key=str):
        where = f"commit {commit}" if commit else "no commit recorded"
        lines.append(f"- mixbench {version}, {where}, sources {source[:12]}")
    return lines


def _metric(board: Board, task_name: str) -> str:
    task = board.tasks.get(task_name)
    if task is not None:
        return task.main_metric
    return next(result.main_metric for result in board.results() if result.task == task_name)


def _reproducible(board: Board, task_name: str) -> bool:
    task = board.tasks.get(task_name)
    return task is None or task.reproducible


def _names(results: Iterable[Result], flag: str) -> list[str]:
    return sorted({_short(result.task) for result in results if getattr(result, flag)})


def _short(task_name: str) -> str:
    return task_name.split("/")[1]


def _score(score: float) -> str:
    return f"{score:.3f}".removeprefix("0")
