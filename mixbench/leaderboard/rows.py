"""Rows: results of one benchmark, gathered by model and revision, best mean first."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mixbench.errors import MixbenchError
from mixbench.results import METRICS_VERSION, Result
from mixbench.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Row:
    """One revision of one model, and its results by the name of the task."""

    model: str
    revision: str
    results: Mapping[str, Result]

    @property
    def dirty(self) -> bool:
        """Whether a result was made by code that is in no commit."""
        return any(result.provenance.dirty for result in self.results.values())

    @property
    def commands(self) -> list[str]:
        """What makes the row again: the training of its model, where that is known, and its evaluations."""
        results = list(self.results.values())
        training = results[0].training_command
        evaluations = (each.provenance.command for each in results)
        return list(dict.fromkeys([*filter(None, [training]), *evaluations]))

    def mean(self, task_names: Sequence[str], metric: str | None = None) -> float | None:
        """Return the mean over tasks of `metric` (of the main scores by default), None if one lacks."""
        if any(name not in self.results for name in task_names):
            return None
        found = [self.results[name] for name in task_names]
        scores = [result.scores.of(metric) if metric else result.main_score for result in found]
        return sum(scores) / len(scores)


@dataclass(frozen=True, kw_only=True)
class Board:
    """What a page shows: rows in their order, and the tasks that have results, by name."""

    benchmark: str
    rows: Sequence[Row]
    task_names: Sequence[str]
    absent: Sequence[str]
    """Tasks of the benchmark without any result."""
    tasks: Mapping[str, Task]
    data: Mapping[str, str]
    """task -> sha256 of the data that its scores are for: the recorded one, else that of most results."""

    def results(self) -> list[Result]:
        """Return every result, row by row."""
        return [row.results[name] for row in self.rows for name in self.task_names if name in row.results]

    def other_data(self, result: Result) -> bool:
        """Tell whether a result is for other data than its column."""
        return result.data_sha256 != self.data[result.task]


def gather(benchmark: str, results: Iterable[Result], tasks: Iterable[Task]) -> Board:
    """Return the board of one benchmark, or of several joined by `+`; results of others are left out.

    Raises MixbenchError where there is no result, one that other metrics scored, or two of one place.
    """
    benchmarks = benchmark.split("+")
    found = [result for result in results if result.task.split("/")[0] in benchmarks]
    if not found:
        raise MixbenchError(
            f"no results for {benchmark!r}; run `mixbench eval --tasks {benchmarks[0]}` first"
        )
    for result in found:
        if result.metrics_version != METRICS_VERSION:
            problem = f"metrics version {result.metrics_version}, now {METRICS_VERSION}"
            raise MixbenchError(f"{result.place}: scored by {problem}; evaluate again with --overwrite")
    known = {task.name: task for task in tasks if task.benchmark in benchmarks}
    names = sorted({result.task for result in found})
    rows: dict[tuple[str, str], dict[str, Result]] = {}
    for result in found:
        row = rows.setdefault((result.model, result.revision), {})
        if result.task in row:
            raise MixbenchError(f"{result.place}: two results are of this place; remove one")
        row[result.task] = result
    listed = [Row(model=key[0], revision=key[1], results=each) for key, each in rows.items()]
    return Board(
        benchmark=benchmark,
        rows=sorted(listed, key=lambda row: _order(row, names)),
        task_names=names,
        absent=sorted(known.keys() - set(names)),
        tasks=known,
        data={name: _data_of(known.get(name), found, name) for name in names},
    )


def metric_of(board: Board, task_name: str) -> str:
    """Return the main metric of a task, as its file says or, without one, its results."""
    task = board.tasks.get(task_name)
    if task is not None:
        return task.main_metric
    return next(result.main_metric for result in board.results() if result.task == task_name)


def _order(row: Row, task_names: Sequence[str]) -> tuple[float, int, str, str]:
    mean = row.mean(task_names)
    return (1.0 if mean is None else -mean, -len(row.results), row.model, row.revision)


def _data_of(task: Task | None, results: Iterable[Result], name: str) -> str:
    if task is not None and task.sha256 is not None:
        return task.sha256
    counts = Counter(result.data_sha256 for result in results if result.task == name)
    return min(counts, key=lambda sha256: (-counts[sha256], sha256))
