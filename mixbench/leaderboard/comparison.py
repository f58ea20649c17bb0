"""Two systems on one task, query by query: how far apart they are, how surely, and on which queries."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mixbench.leaderboard.samples import Sample, sample_task
from mixbench.leaderboard.standings import ALPHA
from mixbench.leaderboard.statistics import TOLERANCE, Numbers, Stratum, make_stratum
from mixbench.results import Clusters

SLICES = 3
"""Groups into which queries are divided by what is known of them, of about the same size."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of two systems: what it is called, its score of each query, and its best document of each."""

    name: str
    scores: Mapping[str, float]
    top: Mapping[str, str]
    """query_id -> doc_id, without the queries for which nothing was found; empty where no ranking is kept."""


@dataclass(frozen=True, kw_only=True)
class QueryDifference:
    """One query: both scores, b minus a, and both top documents, None where none is known."""

    query_id: str
    a: float
    b: float
    difference: float
    top_a: str | None
    top_b: str | None


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The queries of which a feature is from `low` to `high`: their means, and the difference's interval."""

    feature: str
    low: float
    high: float
    queries: int
    a: float
    b: float
    difference: float
    difference_low: float
    difference_high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two systems on one task; every difference is b minus a, with its 95 % interval."""

    task: str
    metric: str
    name_a: str
    name_b: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p_randomisation: float
    p_t: float
    effect: float
    """In standard deviations of the queries' differences."""
    wins: int
    """Queries on which b is better."""
    losses: int
    ties: int
    clustered: bool
    """Whether queries of the same document were drawn together."""
    queries: Sequence[QueryDifference]
    """Every query, the largest difference first."""
    slices: Sequence[Slice]

    def worse_by_more_than(self, margin: float) -> bool:
        """Tell whether b is worse by more than `margin`, and significantly worse at all.

        Both must hold: a difference below the margin is no regression, and neither is a larger one that
        chance alone makes in more than 5 % of cases (two-sided randomisation test).
        """
        return self.difference < -margin and self.p_randomisation < ALPHA

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        return asdict(self)


def compare(
    task: str,
    metric: str,
    a: Side,
    b: Side,
    *,
    parts: Sequence[str] = (),
    clusters: Clusters | None = None,
    features: Mapping[str, Mapping[str, float]] | None = None,
) -> Comparison:
    """Return the comparison of two systems that were scored on the same queries.

    `features` (name -> query_id -> number) are what the slices are by. A task of several parts is scored by
    the mean over these, its slices by the mean over queries.
    """
    query_ids = sorted(a.scores)
    matrix = np.array([[side.scores[query_id] for query_id in query_ids] for side in (a, b)])
    prefixes = [f"{part}/" for part in parts] or [""]
    sample = sample_task(task, [_stratum(matrix, query_ids, clusters, prefix) for prefix in prefixes])
    test, (low, high) = sample.t_test(0, 1), sample.difference_ends(0, 1)
    deltas = matrix[1] - matrix[0]
    return Comparison(
        task=task,
        metric=metric,
        name_a=a.name,
        name_b=b.name,
        a=float(sample.means[0]),
        b=float(sample.means[1]),
        difference=test.difference,
        low=low,
        high=high,
        p_randomisation=sample.p_values(0)[1],
        p_t=test.p_value,
        effect=test.effect,
        wins=int((deltas > TOLERANCE).sum()),
        losses=int((deltas < -TOLERANCE).sum()),
        ties=int((np.abs(deltas) <= TOLERANCE).sum()),
        clustered=clusters is not None and len(set(clusters.values())) < len(clusters),
        queries=_queries(query_ids, a, b),
        slices=_slices(task, matrix, query_ids, clusters, features or {}),
    )


def _stratum(matrix: Numbers, query_ids: Sequence[str], clusters: Clusters | None, prefix: str) -> Stratum:
    kept = [k for k, query_id in enumerate(query_ids) if query_id.startswith(prefix)]
    units = None if clusters is None else np.array([clusters[query_ids[k]] for k in kept])
    return make_stratum(matrix[:, kept], units)


def _queries(query_ids: Sequence[str], a: Side, b: Side) -> list[QueryDifference]:
    found = [
        QueryDifference(
            query_id=query_id,
            a=a.scores[query_id],
            b=b.scores[query_id],
            difference=round(b.scores[query_id] - a.scores[query_id], 9),
            top_a=a.top.get(query_id),
            top_b=b.top.get(query_id),
        )
        for query_id in query_ids
    ]
    return sorted(found, key=lambda each: (-abs(each.difference), each.query_id))


def _slices(
    task: str,
    matrix: Numbers,
    query_ids: Sequence[str],
    clusters: Clusters | None,
    features: Mapping[str, Mapping[str, float]],
) -> list[Slice]:
    found = []
    for name, values in features.items():
        known = np.array([values[query_id] for query_id in query_ids])
        for low, high in _ranges(known):
            chosen = np.flatnonzero((known >= low) & (known <= high)).tolist()
            ids = [query_ids[k] for k in chosen]
            stratum = _stratum(matrix[:, chosen], ids, clusters, "")
            sample = sample_task(f"{task} {name} {low}", [stratum])
            found.append(_slice(name, low, high, len(ids), sample))
    return found


def _slice(feature: str, low: float, high: float, queries: int, sample: Sample) -> Slice:
    a, b = (float(mean) for mean in sample.means)
    ends = sample.difference_ends(0, 1)
    return Slice(
        feature=feature,
        low=low,
        high=high,
        queries=queries,
        a=a,
        b=b,
        difference=b - a,
        difference_low=ends[0],
        difference_high=ends[1],
    )


def _ranges(values: Numbers) -> list[tuple[float, float]]:
    """Return the ends, values that occur, of at most SLICES groups that no value lies in two of."""
    distinct = np.unique(values)
    shares = np.arange(1, SLICES) / SLICES
    uppers = sorted({*np.quantile(values, shares, method="inverted_cdf").tolist(), float(distinct[-1])})
    lowers = [float(distinct[0]), *(float(distinct[distinct > upper][0]) for upper in uppers[:-1])]
    return list(zip(lowers, uppers, strict=True))
