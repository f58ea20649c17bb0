"""The scores of each query, from which all others follow."""

import math
from collections.abc import Iterable, Mapping, Sequence

from mixbench.results.identity import canonical_json
from mixbench.results.result import METRICS, Scores

QueryScores = Mapping[str, Mapping[str, float]]
"""metric -> query_id -> score. In a task of several parts a query is called part/query_id."""


def mean_scores(query_scores: QueryScores, parts: Sequence[str] = ()) -> tuple[Scores, dict[str, Scores]]:
    """Return the scores of a task, and of each of its parts: with parts, a task's are the mean over them."""
    if not parts:
        return _mean_over(query_scores, ""), {}
    by_part = {part: _mean_over(query_scores, f"{part}/") for part in parts}
    return Scores(**{name: _mean(part.of(name) for part in by_part.values()) for name in METRICS}), by_part


def _mean_over(query_scores: QueryScores, prefix: str) -> Scores:
    return Scores(
        **{
            metric: _mean(
                score for query_id, score in query_scores[metric].items() if query_id.startswith(prefix)
            )
            for metric in METRICS
        }
    )


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)


def encode_query_scores(query_scores: QueryScores) -> str:
    """Return the text of a file of query scores: the query ids once, then the scores of each metric."""
    query_ids = list(query_scores["ndcg_at_10"])
    columns = {metric: [query_scores[metric][query_id] for query_id in query_ids] for metric in METRICS}
    return canonical_json({"query_ids": query_ids, **columns})
