"""Runs of any engine, as a comparison takes them: of this task and no other, ranked as `evaluate` ranks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mixbench.data import RetrievalData
from mixbench.errors import InputError
from mixbench.evaluation import DEPTH
from mixbench.experiments.progress import say
from mixbench.interop.trec import read_run, trec_order
from mixbench.retrievers import Ranking
from mixbench.tasks import Task


def checked_rankings(path: Path, task: Task, data: Sequence[RetrievalData]) -> Mapping[str, Ranking]:
    """Return the rankings of a run as `evaluate` scores them. Raises InputError for ids of another task."""
    run = read_run(path, say)
    wanted = {each.prefix + query_id for each in data for query_id in each.queries}
    foreign = run.rankings.keys() - wanted
    if foreign:
        problem = f"{len(foreign)} of its {len(run.rankings)} queries are not of {task.name}"
        raise InputError.at(path, None, f"{problem} ({min(foreign)!r:.80} is one); leave their lines out")
    _check_documents(path, run.rankings, task, data)
    if len(run.rankings) < len(wanted):
        missing = len(wanted) - len(run.rankings)
        say(f"{path}: lacks {missing} of the {len(wanted)} queries of {task.name}: each scores 0")
    return {
        each.prefix + query_id: _cut(run.rankings.get(each.prefix + query_id, []), query_id, task)
        for each in data
        for query_id in each.queries
    }


def _check_documents(
    path: Path, rankings: Mapping[str, Ranking], task: Task, data: Sequence[RetrievalData]
) -> None:
    for each in data:
        known = {document.doc_id for document in each.corpus}
        for query_id in each.queries:
            for doc_id, _ in rankings.get(each.prefix + query_id, []):
                if doc_id not in known:
                    problem = f"document {doc_id!r:.80} is not in the corpus of {task.name}"
                    raise InputError.at(path, None, f"{problem}; search the same corpus, or leave it out")


def _cut(ranking: Ranking, query_id: str, task: Task) -> Ranking:
    return [entry for entry in trec_order(ranking) if not (task.remove_identical and entry[0] == query_id)][
        :DEPTH
    ]
