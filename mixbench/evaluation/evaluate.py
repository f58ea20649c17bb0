"""evaluate: index a task's corpus, search its queries, score the rankings, and say what that took.

The identity of a result is known before any of this runs (`existing_result`), so that nothing is computed
twice and no result is taken for another.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixbench.data import RetrievalData, task_sha256
from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.evaluation.cost import Stopwatch, forget_peaks, peak_device_bytes, peak_memory_bytes
from mixbench.evaluation.latency import percentile, time_queries
from mixbench.evaluation.metrics import score_queries
from mixbench.evaluation.provenance import describe_run
from mixbench.interop.trec import trec_order, write_run
from mixbench.results import (
    METRICS,
    METRICS_VERSION,
    Costs,
    QueryScores,
    Result,
    canonical_json,
    encode_query_scores,
    holds_stored_run,
    identity_of,
    in_domain_sources,
    mean_scores,
    read_query_scores,
    read_result,
    result_place,
    revision_of,
    save_result,
    sha256_text,
)
from mixbench.retrievers import Ranking, Retriever
from mixbench.retrievers.encoding import Encoding
from mixbench.tasks import Task

DEPTH = 100
DECIMALS = 6
"""Query scores are rounded to this before their mean is taken, so that the files prove the mean exactly."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A result, and what it was made from. In a task of several parts queries are called part/query_id."""

    result: Result
    query_scores: QueryScores
    rankings: Mapping[str, Ranking]
    tag: str
    """What the run calls the system: a stored run keeps its tag, others are called by the model's name."""


def evaluate(
    retriever: Retriever,
    task: Task,
    data: Sequence[RetrievalData],
    *,
    command: str,
    depth: int = DEPTH,
    device: str = "cpu",
    seed: int = 0,
    advance: Callable[[int], None] = lambda texts: None,
    encoding: Encoding | None = None,
) -> Evaluation:
    """Return the scores and costs of `retriever` on `task`; `data` is one collection, or one for each part.

    `depth` is the number of documents ranked for each query. `command`, `device` and `seed` are recorded: the
    retriever already has them. `advance` is told of texts done, by retrievers that tell. `encoding` is what
    encoders within the retriever keep embeddings by, where that is not the retriever's own.
    Raises InputError for a depth or data that do not suit the task, and MixbenchError for rankings that
    cannot be scored.
    """
    settings = _settings(retriever, task, data, depth)
    provenance = describe_run(command=command, device=device, seed=seed)
    tally = _Tally(encoding or getattr(retriever, "encoding", None) or Encoding())
    tally.encoding.forget()
    forget_peaks()
    for collection in data:
        if hasattr(retriever, "advance"):
            retriever.advance = advance
        tally.add(retriever, collection, depth, task.remove_identical)
    scores, parts = mean_scores(tally.query_scores, list(task.parts))
    result = Result(
        **settings,
        scores=scores,
        parts=parts,
        empty_rankings=sum(not ranking for ranking in tally.rankings.values()),
        truncated_share=tally.per_document("truncated_share"),
        queries_sha256=sha256_text(encode_query_scores(tally.query_scores)),
        costs=tally.costs(retriever, data),
        provenance=provenance.model_copy(update={"workers": len(tally.encoding.workers)}),
    )
    tag = getattr(retriever, "tag", result.model)
    return Evaluation(result=result, query_scores=tally.query_scores, rankings=tally.rankings, tag=tag)


def rounded_scores(
    data: Sequence[RetrievalData], rankings: Mapping[str, Ranking]
) -> dict[str, dict[str, float]]:
    """Return metric -> query_id -> score, rounded as they are stored, of rankings of a task's collections.

    In a task of several parts queries are called part/query_id, here and there.
    """
    rounded: dict[str, dict[str, float]] = {metric: {} for metric in METRICS}
    for each in data:
        own = {query_id: rankings.get(each.prefix + query_id, []) for query_id in each.queries}
        for metric, scores in score_queries(each.qrels, own).items():
            rounded[metric] |= {each.prefix + key: round(value, DECIMALS) for key, value in scores.items()}
    return rounded


def existing_result(
    output: Path, retriever: Retriever, task: Task, data: Sequence[RetrievalData], *, depth: int = DEPTH
) -> Result | None:
    """Return the result below `output` that `evaluate` would give again, None where there is none.

    Raises MixbenchError where another result has its place: of other data, or scored in another way. Raises
    InputError for one that cannot be read.
    """
    path = output / result_place(task.name, retriever.name, revision_of(retriever.recipe))
    if not path.exists():
        return None
    wanted = _settings(retriever, task, data, depth)
    found = read_result(path)
    if found.identity != wanted["identity"] or found.recomputed_identity() != found.identity:
        differing = ("recipe", "data_sha256", "depth", "remove_identical", "metrics_version", "identity")
        reasons = [key for key in differing if getattr(found, key) != wanted[key]] or ["identity"]
        raise MixbenchError(
            f"{path}: holds another result, its {reasons[0]} differs; replace it with --overwrite"
        )
    read_query_scores(path, found)
    return found


def has_speed(output: Path, retriever: Retriever, task: Task) -> bool:
    """Tell whether the result below `output` that an evaluation would replace says how fast encoding was."""
    path = output / result_place(task.name, retriever.name, revision_of(retriever.recipe))
    try:
        return path.exists() and read_result(path).costs.documents_per_second is not None
    except InputError:
        return False


def save_evaluation(
    output: Path, evaluation: Evaluation, *, progress: Callable[[str], None] = lambda message: None
) -> Path:
    """Write an evaluation below `output` and return the path of its result's file.

    Rankings whose ids a TREC run cannot hold are not written, which `progress` is told.
    """
    result = evaluation.result
    run = None
    try:
        run = write_run(evaluation.rankings, evaluation.tag)
    except InputError as error:
        progress(f"no run written for {result.task}: {error}")
    return save_result(output, result, evaluation.query_scores, run)


@dataclass
class _Tally:
    """What adds up over the collections of a task."""

    encoding: Encoding
    rankings: dict[str, Ranking] = field(default_factory=dict)
    query_scores: dict[str, dict[str, float]] = field(
        default_factory=lambda: {metric: {} for metric in METRICS}
    )
    indexing: Stopwatch = field(default_factory=Stopwatch)
    searching: Stopwatch = field(default_factory=Stopwatch)
    latencies: list[float] = field(default_factory=list)
    """Seconds of single queries, timed alone."""
    index_bytes: int = 0
    documents: int = 0
    said: dict[str, float | None] = field(default_factory=dict)
    """What a retriever says of its documents, if it does, summed over them."""

    def add(self, retriever: Retriever, data: RetrievalData, depth: int, remove_identical: bool) -> None:
        """Index and search one collection, and score its rankings."""
        with self.indexing:
            retriever.index(data.corpus)
        if hasattr(retriever, "query_ids"):
            retriever.query_ids = [data.prefix + query_id for query_id in data.queries]
        with self.searching:
            found = retriever.search(list(data.queries.values()), depth + remove_identical)
        if len(found) != len(data.queries):
            problem = f"{retriever.name!r} gave {len(found)} rankings for {len(data.queries)} queries"
            raise MixbenchError(f"{problem}; repair the retriever")
        if hasattr(retriever, "advance"):
            retriever.advance = lambda texts: None  # these queries are counted already
        if not holds_stored_run(dict(retriever.recipe)):
            self.latencies += time_queries(retriever, list(data.queries.values()), depth + remove_identical)
        rankings = {
            query_id: _cut(ranking, query_id if remove_identical else None, depth)
            for query_id, ranking in zip(data.queries, found, strict=True)
        }
        named = {data.prefix + query_id: ranking for query_id, ranking in rankings.items()}
        for metric, scores in rounded_scores([data], named).items():
            self.query_scores[metric].update(scores)
        self.rankings.update(named)
        self.index_bytes += retriever.index_bytes
        self.documents += len(data.corpus)
        for name in ("truncated_share", "flops_per_document"):
            value, before = getattr(retriever, name, None), self.said.get(name, 0.0)
            if value is None or before is None:
                self.said[name] = None
            else:
                self.said[name] = before + value * len(data.corpus)

    def per_document(self, name: str) -> float | None:
        """Return the mean over documents of what the retriever said; None where it did not for some part."""
        total = self.said[name]
        return None if total is None else total / self.documents

    def costs(self, retriever: Retriever, data: Sequence[RetrievalData]) -> Costs:
        """Return what all of it took."""
        queries = sum(len(collection.queries) for collection in data)
        flops = self.per_document("flops_per_document")
        middle, slow = (percentile(self.latencies, share) for share in (0.5, 0.95))
        computed = self.encoding.documents_read == 0
        return Costs(
            index_seconds=round(self.indexing.seconds, 6) if computed else None,
            search_seconds=round(self.searching.seconds, 6),
            documents_per_second=round(self.documents / self.indexing.seconds, 3) if computed else None,
            queries_per_second=round(queries / self.searching.seconds, 3),
            peak_memory_bytes=peak_memory_bytes() if computed else None,
            peak_device_bytes=peak_device_bytes() if computed else None,
            index_bytes=self.index_bytes,
            parameters=retriever.parameters,
            flops_per_document=None if flops is None else round(flops),
            query_seconds_p50=None if middle is None else round(middle, 6),
            query_seconds_p95=None if slow is None else round(slow, 6),
            documents_from_store=self.encoding.documents_read,
            halved_batch=self.encoding.halved_batch,
        )


def _cut(ranking: Ranking, own_id: str | None, depth: int) -> Ranking:
    """Return the `depth` best of a ranking, in trec_eval's order, without the document called `own_id`."""
    return [entry for entry in trec_order(ranking) if entry[0] != own_id][:depth]


def _settings(retriever: Retriever, task: Task, data: Sequence[RetrievalData], depth: int) -> dict[str, Any]:
    """Return the fields of a result that are known before anything runs.

    Raises InputError for a depth or data that do not suit the task.
    """
    _check(task, data, depth)
    recipe = json.loads(canonical_json(retriever.recipe))
    deciding = {
        "task": task.name,
        "recipe": recipe,
        "data_sha256": task_sha256(data),
        "depth": depth,
        "remove_identical": task.remove_identical,
        "metrics_version": METRICS_VERSION,
    }
    sources: Sequence[str] | None = retriever.training_sources
    return deciding | {
        "identity": identity_of(**deciding),
        "split": data[0].split,
        "main_metric": task.main_metric,
        "known_item": task.known_item,
        "model": retriever.name,
        "revision": revision_of(recipe),
        "model_sha256": recipe.get("model_sha256"),
        "training_sources": None if sources is None else sorted(sources),
        "training_command": getattr(retriever, "training_command", None),
        "architecture": getattr(retriever, "architecture", None),
        "control_of": getattr(retriever, "control_of", None),
        "in_domain": in_domain_sources(task, sources or ()),
        "n_documents": sum(len(collection.corpus) for collection in data),
        "n_queries": sum(len(collection.queries) for collection in data),
        "data_source": "+".join(sorted({collection.source for collection in data})),
        "data_matches_task": None if task.sha256 is None else task.sha256 == task_sha256(data),
    }


def _check(task: Task, data: Sequence[RetrievalData], depth: int) -> None:
    if depth < DEPTH:
        raise InputError(f"depth {depth!r}: MAP@100 and Recall@100 need at least {DEPTH} documents a query")
    if task.main_metric not in METRICS:
        raise UnknownName.of("main_metric", task.main_metric, METRICS)
    parts = [collection.part for collection in data]
    if parts != (list(task.parts) or [""]):
        raise InputError(f"{task.name}: data of the parts {parts!r}, where the task has {list(task.parts)!r}")
    for collection in data:
        if not collection.queries or collection.queries.keys() != collection.qrels.keys():
            raise InputError(
                f"{task.name}: its {collection.split!r} split must judge each query, and have one"
            )
