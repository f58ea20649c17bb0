"""`mixbench compare`: two systems on one task, each a stored result or a TREC run of anybody's.

FILE.json        a result, with the query scores beside it
FILE, run:FILE   a TREC run, scored on the task's data
MODEL            the result of that model below the output folder, by its name on the board
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixbench.data import RetrievalData, load_data, task_sha256
from mixbench.errors import InputError, MissingData, UnknownName
from mixbench.evaluation import rounded_scores
from mixbench.experiments.evaluating import Places, chosen_tasks
from mixbench.experiments.foreign_runs import checked_rankings
from mixbench.experiments.progress import say
from mixbench.experiments.query_features import query_features
from mixbench.interop.trec import read_run
from mixbench.leaderboard.comparison import Comparison, Side, compare
from mixbench.results import (
    Clusters,
    Result,
    cluster_queries,
    folder_name,
    read_clusters,
    read_query_scores,
    read_result,
    run_path,
)
from mixbench.tasks import Task


@dataclass(frozen=True, kw_only=True)
class _Named:
    """What a side's name stands for: a file, and the result in it if it is one."""

    path: Path
    result: Result | None


def run_comparison(
    a: str, b: str, task_name: str, places: Places
) -> tuple[Comparison, Task, Sequence[RetrievalData] | None]:
    """Return the comparison of two systems on a task, the task, and its data where that is here.

    Raises:
        InputError: the task's name stands for several, a file cannot be used, or the two were not scored on
            the same queries and data.
        MissingData: a run is to be scored, and the task's data is nowhere.
    """
    chosen = chosen_tasks([task_name], places.tasks_dir)
    if len(chosen) > 1:
        raise InputError(f"{task_name!r} is {len(chosen)} tasks, as {chosen[0].name!r}; compare on one")
    (task,) = chosen
    named = [_named(name, task, places.output) for name in (a, b)]
    data = _data(task, named, places)
    _check_same(named)
    sides = [_side(each, task, data, name) for each, name in zip(named, (a, b), strict=True)]
    _check_queries(named, sides)
    comparison = compare(
        task.name,
        task.main_metric,
        *sides,
        parts=list(task.parts),
        clusters=_clusters(named, task, data, sides[0].scores),
        features=None if data is None else query_features(data),
    )
    return comparison, task, data


def _named(name: str, task: Task, output: Path) -> _Named:
    path = Path(name.removeprefix("run:"))
    if path.is_file() and path.suffix == ".json":
        result = read_result(path)
        if result.task != task.name:
            raise InputError.at(path, None, f"a result on {result.task!r}, not on {task.name!r}")
        return _Named(path=path, result=result)
    if path.is_file():
        return _Named(path=path, result=None)
    folder = output / task.benchmark
    known = sorted(each.parents[1].name for each in folder.glob(f"*/*/{task.short_name}.json"))
    models = {model.replace("__", "/", 1) for model in known}
    if name not in models:
        raise UnknownName.of(f"run file, result file or model with a result on {task.name}", name, models)
    paths = sorted((folder / folder_name(name)).glob(f"*/{task.short_name}.json"))
    if len(paths) > 1:
        listed = ", ".join(map(str, paths))
        raise InputError(f"{name!r} has {len(paths)} revisions; name the file of one: {listed}")
    return _Named(path=paths[0], result=read_result(paths[0]))


def _data(task: Task, named: Sequence[_Named], places: Places) -> Sequence[RetrievalData] | None:
    """Return the task's data; None where it is not needed and is not here, or is not what results are for."""
    needed = any(each.result is None for each in named)
    try:
        data = load_data(task, data_dir=places.data_dir, offline=places.offline or not needed)
    except MissingData:
        if needed:
            raise
        say(f"{task.name}: no data here, so no slices")
        return None
    sha256 = task_sha256(data)
    other = [each.path for each in named if each.result is not None and each.result.data_sha256 != sha256]
    if other and needed:
        raise InputError.at(other[0], None, f"not of the data of {task.name} that is here; evaluate it again")
    if other:
        say(f"{task.name}: the data here is not what {other[0]} is for, so no slices")
        return None
    return data


def _check_same(named: Sequence[_Named]) -> None:
    results = [each.result for each in named if each.result is not None]
    if len({result.data_sha256 for result in results}) > 1:
        raise InputError(f"{named[0].path} and {named[1].path} are of other data; evaluate one of them again")


def _check_queries(named: Sequence[_Named], sides: Sequence[Side]) -> None:
    odd = sides[0].scores.keys() ^ sides[1].scores.keys()
    if odd:
        both = f"{named[0].path} and {named[1].path}"
        raise InputError(f"{both} have other queries ({min(odd)!r:.80} is in one alone); evaluate both again")


def _side(named: _Named, task: Task, data: Sequence[RetrievalData] | None, name: str) -> Side:
    if named.result is not None:
        scores = read_query_scores(named.path, named.result)[task.main_metric]
        run = run_path(named.path)
        rankings = read_run(run, say).rankings if run.is_file() else {}
        label = f"{named.result.model} {named.result.revision}"
    else:
        assert data is not None
        rankings = checked_rankings(named.path, task, data)
        scores = rounded_scores(data, rankings)[task.main_metric]
        label = name
    top = {
        query_id: ranking[0][0] for query_id, ranking in rankings.items() if ranking and query_id in scores
    }
    return Side(name=label, scores=scores, top=top)


def _clusters(
    named: Sequence[_Named], task: Task, data: Sequence[RetrievalData] | None, scores: Mapping[str, float]
) -> Clusters | None:
    """Return which queries of a known-item task share a document: from its data, or as a board keeps it."""
    if not task.known_item:
        return None
    if data is not None:
        return cluster_queries(
            {each.prefix + query_id: judged for each in data for query_id, judged in each.qrels.items()}
        )
    result = named[0].result
    assert result is not None
    known = read_clusters(named[0].path.parents[2], task.name, result.data_sha256, scores)
    if known is None:
        say(f"{task.name}: nobody recorded which queries share a document; the interval may be too narrow")
    return known
