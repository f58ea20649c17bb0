"""What proves a board beside its results: the scores of each query, and which queries share a document."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixbench.errors import InputError
from mixbench.leaderboard.statistics import Numbers, Stratum, make_stratum
from mixbench.results import Clusters, QueryScores, Result, read_clusters, read_query_scores


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Query scores by the place of their result, and clusters by task and data, where they are known."""

    query_scores: Mapping[Path, QueryScores]
    clusters: Mapping[tuple[str, str], Clusters]

    def scores(self, result: Result, metric: str) -> Mapping[str, float]:
        """Return query_id -> score of one result."""
        return self.query_scores[result.place][metric]


def read_evidence(folder: Path, results: Iterable[Result]) -> Evidence:
    """Read what lies beside `results` in a benchmark's `folder`.

    Raises InputError naming a file that is missing, damaged, or not what its result was made from.
    """
    query_scores: dict[Path, QueryScores] = {}
    clusters: dict[tuple[str, str], Clusters] = {}
    for result in results:
        query_scores[result.place] = read_query_scores(folder.joinpath(*result.place.parts[1:]), result)
        key = result.task, result.data_sha256
        if result.known_item and key not in clusters:
            known = read_clusters(folder, *key, query_scores[result.place]["ndcg_at_10"])
            if known is not None:
                clusters[key] = known
    return Evidence(query_scores=query_scores, clusters=clusters)


def strata_of(contenders: Sequence[Sequence[Result]], evidence: Evidence, metric: str) -> list[Stratum]:
    """Return the strata of a task, a row for each contender: the mean over its results, one for each seed.

    All results are of the same data. Raises InputError, naming both, where two have other queries.
    """
    first = contenders[0][0]
    query_ids = sorted(evidence.scores(first, metric))
    rows: list[Numbers] = []
    for results in contenders:
        per_seed = []
        for result in results:
            scores = evidence.scores(result, metric)
            if scores.keys() != evidence.scores(first, metric).keys():
                raise InputError(_other_queries(first, result, evidence, metric))
            per_seed.append([scores[query_id] for query_id in query_ids])
        rows.append(np.mean(per_seed, axis=0))
    matrix = np.stack(rows)
    clusters = evidence.clusters.get((first.task, first.data_sha256))
    units = None if clusters is None else np.array([clusters[query_id] for query_id in query_ids])
    return [_stratum(matrix, units, query_ids, f"{part}/") for part in first.parts] or [
        _stratum(matrix, units, query_ids, "")
    ]


def _stratum(
    matrix: Numbers, units: NDArray[np.int64] | None, query_ids: Sequence[str], prefix: str
) -> Stratum:
    kept = np.array([query_id.startswith(prefix) for query_id in query_ids])
    return make_stratum(matrix[:, kept], None if units is None else units[kept])


def _other_queries(first: Result, other: Result, evidence: Evidence, metric: str) -> str:
    ours, theirs = (set(evidence.scores(each, metric)) for each in (first, other))
    odd = min(ours ^ theirs)
    have = f"{first.place} has {len(ours)} queries, {other.place} {len(theirs)}"
    return f"{have}; {odd!r:.80} is in one alone; evaluate both again with --overwrite"
