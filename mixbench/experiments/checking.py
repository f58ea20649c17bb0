"""What a board's check does where the rankings and the data are at hand: score the rankings again."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mixbench.data import RetrievalData, load_data, task_sha256
from mixbench.errors import InputError, MissingData
from mixbench.evaluation import rounded_scores
from mixbench.interop.trec import read_run
from mixbench.leaderboard.check import Rescore
from mixbench.results import QueryScores, Result, cluster_queries, clusters_path, read_clusters, run_path
from mixbench.tasks import Task


def rescoring(data_dir: Path | None, say: Callable[[str], None]) -> Rescore:
    """Return what scores the run beside a result again, and reads which queries share a document.

    The data is looked for on this machine alone. `say` is told of data that is not what results are for.
    """
    loaded: dict[str, Sequence[RetrievalData] | None] = {}

    def rescore(path: Path, result: Result, task: Task, query_scores: QueryScores) -> list[str]:
        run, folder = run_path(path), path.parents[2]
        clusters = clusters_path(folder, result.task, result.data_sha256)
        if not (run.exists() or clusters.exists()):
            return []
        if task.name not in loaded:
            loaded[task.name] = _local_data(task, data_dir)
        data = loaded[task.name]
        if data is None:
            return []
        if task_sha256(data) != result.data_sha256:
            say(f"{path}: the data of {task.name} here is not what it is for; its run is not scored again")
            return []
        return _run_problems(run, data, query_scores) + _cluster_problems(folder, result, data, query_scores)

    return rescore


def _local_data(task: Task, data_dir: Path | None) -> Sequence[RetrievalData] | None:
    try:
        return load_data(task, data_dir=data_dir, offline=True)
    except MissingData:
        return None


def _run_problems(path: Path, data: Sequence[RetrievalData], query_scores: QueryScores) -> list[str]:
    if not path.exists():
        return []
    try:
        rankings = read_run(path, lambda message: None).rankings
    except InputError as error:
        return [f"its run cannot be read: {error}"]
    if rounded_scores(data, rankings) != query_scores:
        return [f"the query scores are not those of {path}"]
    return []


def _cluster_problems(
    folder: Path, result: Result, data: Sequence[RetrievalData], query_scores: QueryScores
) -> list[str]:
    if not result.known_item:
        return []
    kept = read_clusters(folder, result.task, result.data_sha256, query_scores["ndcg_at_10"])
    qrels = {each.prefix + query_id: judged for each in data for query_id, judged in each.qrels.items()}
    if kept is not None and kept != cluster_queries(qrels):
        path = clusters_path(folder, result.task, result.data_sha256)
        return [f"{path} is not which queries share a document; remove it"]
    return []
