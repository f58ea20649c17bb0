"""The analysis of a board: every number that its pages show, with how sure it is. Pages only lay it out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mixbench.leaderboard.contenders import group_seeds
from mixbench.leaderboard.controls import ControlCheck, check_controls
from mixbench.leaderboard.evidence import Evidence
from mixbench.leaderboard.fronts import Front, find_fronts
from mixbench.leaderboard.rows import Board, gather, metric_of
from mixbench.leaderboard.samples import Sample, sample_mean
from mixbench.leaderboard.standings import Standing, column_of, standings_of
from mixbench.results import Result
from mixbench.tasks import Task

DRAWN_TASKS = 8
"""From this many tasks they count as drawn from more of their kind, fewer are held fixed."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """A board with its statistics; `standings` are the ranked ones by descending mean, then the others."""

    board: Board
    metrics: Mapping[str, str]
    """task -> metric of its column."""
    standings: Sequence[Standing]
    controls: Sequence[ControlCheck]
    fronts: Sequence[Front]
    tasks_drawn: bool
    """Whether the interval of a mean draws the tasks too."""
    clustered: Sequence[str]
    """Known-item tasks whose queries are drawn by document."""
    unclustered: Sequence[str]
    """Known-item tasks of which nobody recorded which queries share a document."""
    evidence: Evidence
    seed: int


def analyse(
    benchmark: str,
    results: Iterable[Result],
    tasks: Iterable[Task],
    evidence: Evidence,
    *,
    metric: str | None = None,
    seed: int = 0,
) -> Analysis:
    """Return the analysis of a benchmark's results by `metric`, by each task's main metric where None.

    Raises MixbenchError as `gather`, and InputError for results of one column with different queries.
    """
    board = gather(benchmark, results, tasks)
    contenders = group_seeds(board.rows)
    metrics = {name: metric or metric_of(board, name) for name in board.task_names}
    columns = [column_of(board, contenders, name, evidence, metrics[name], seed) for name in metrics]
    complete = [each for each in contenders if not each.lacks(board)]
    drawn = len(columns) >= DRAWN_TASKS
    whole: Sample | None = None
    if complete:
        samples = [column.sample for column in columns if column.sample is not None]
        places = [[column.contenders.index(each) for each in complete] for column in columns]
        whole = sample_mean(samples, places, seed, draw_tasks=drawn)
    standings = standings_of(contenders, complete, columns, whole, metrics)
    known = sorted({result.task for result in board.results() if result.known_item})
    clustered = [name for name in known if (name, board.data[name]) in evidence.clusters]
    return Analysis(
        board=board,
        metrics=metrics,
        standings=standings,
        controls=check_controls(contenders, complete, whole),
        fronts=find_fronts(standings),
        tasks_drawn=drawn,
        clustered=clustered,
        unclustered=[name for name in known if name not in clustered],
        evidence=evidence,
        seed=seed,
    )
