"""The rules of a page: what its numbers and marks mean, said before they are shown."""

from collections.abc import Iterable

from mixbench.leaderboard.analysis import DRAWN_TASKS, Analysis
from mixbench.leaderboard.rows import Board
from mixbench.leaderboard.standings import ALPHA
from mixbench.leaderboard.statistics import RESAMPLES
from mixbench.leaderboard.tables import short
from mixbench.results import METRICS, Result

IN_DOMAIN, UNKNOWN, OTHER_DATA, TIED = "†", "?", "‡", "≈"


def marks(board: Board, result: Result) -> str:
    """Return the marks of a result: what its model was trained on, and other data than its column's."""
    return training_mark(result) + (OTHER_DATA if board.other_data(result) else "")


def training_mark(result: Result) -> str:
    """Return the mark of what a result's model was trained on."""
    return UNKNOWN if result.training_sources is None else IN_DOMAIN if result.in_domain else ""


def rules(analysis: Analysis) -> list[str]:
    """Return the lines of the section."""
    return [
        "## Rules",
        "",
        *(f"- {rule}" for rule in [*_scores(analysis), *_data(analysis), *_certainty(analysis)]),
    ]


def _scores(analysis: Analysis) -> list[str]:
    board = analysis.board
    metrics = {name: METRICS[metric] for name, metric in analysis.metrics.items()}
    kinds = sorted(set(metrics.values()))
    each = kinds[0] if len(kinds) == 1 else ", ".join(f"{short(name)} {metrics[name]}" for name in metrics)
    found = [
        f"Main score: {each}, by trec_eval's code. A query for which nothing is found counts as 0.",
        "A row is one revision of a model: a hash over its weights and all settings that change a ranking.",
        "Rows are in the order of their means. One that lacks a task of this page has none and comes last.",
        f"{IN_DOMAIN} in-domain: the model or its teacher was trained on data of the task or its collection.",
    ]
    if any(standing.contender.seeds for standing in analysis.standings):
        said = "A row of several seeds is one recipe: scores are means over seeds, ± their standard deviation"
        found.append(f"{said}, and intervals those of the mean.")
    results = board.results()
    if any(result.training_sources is None for result in results):
        found.append(f"{UNKNOWN} nobody says what the model was trained on.")
    if any(map(board.other_data, results)):
        said = "not the data that the task records, or that most rows read"
        found.append(f"{OTHER_DATA} {said}: not comparable within its column, so without a rank.")
    return found


def _data(analysis: Analysis) -> list[str]:
    board = analysis.board
    results = board.results()
    removed = "A document with the query's own id is removed, as mteb does, in"
    found = []
    for said, chosen in (
        ("Known-item tasks, each query made from the document it looks for", _flagged(results, "known_item")),
        (removed, _flagged(results, "remove_identical")),
    ):
        if chosen:
            found.append(f"{said}: {', '.join(chosen)}.")
    private = sorted(short(name) for name, task in board.tasks.items() if not task.reproducible)
    private = [name for name in private if name in map(short, board.task_names)]
    if private:
        found.append(f"Not reproducible outside, nobody else can make the same data: {', '.join(private)}.")
    return found


def _certainty(analysis: Analysis) -> list[str]:
    drawn = f"percentiles of {RESAMPLES:,} resamples of each task's queries, the same for all rows"
    found = [f"Intervals hold 95 %: {drawn} (seed {analysis.seed})."]
    if len(analysis.board.task_names) > 1:
        found.append(
            f"Of {DRAWN_TASKS} or more tasks, the intervals of means and ranks draw the tasks too."
            if analysis.tasks_drawn
            else f"Fewer than {DRAWN_TASKS} tasks are held fixed: means and ranks speak of these alone."
        )
    if analysis.clustered:
        names = ", ".join(map(short, analysis.clustered))
        found.append(f"Queries that look for the same document are drawn together: {names}.")
    if analysis.unclustered:
        names = ", ".join(map(short, analysis.unclustered))
        said = f"Which queries look for the same document is not recorded, so they are drawn singly: {names}."
        found.append(f"{said} Their intervals may be too narrow.")
    return [
        *found,
        f"Bold is the best of a column, {TIED} what is not separable from it: p ≥ {ALPHA} by the paired"
        " randomisation test, by Holm's method over the column.",
        "Rank: by the mean, and in brackets the ranks that differences between rows leave possible at 95 %"
        " (Mogstad et al. 2024).",
        "Borda: the rank by the sum of places over tasks, counted as mteb does; a task that lacks counts 0.",
    ]


def _flagged(results: Iterable[Result], flag: str) -> list[str]:
    return sorted({short(result.task) for result in results if getattr(result, flag)})
