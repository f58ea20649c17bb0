"""Candidates: what each of several systems gives to each document that any of them found for a query.

    reciprocal ranks   1 / (k + rank), ranks from 1          Cormack, Clarke and Büttcher, SIGIR 2009
    min-max            (score - lowest) / (highest - lowest) of the ranking; 1 where all scores are equal

A document that a system did not find gets 0 from it: under min-max the same as the last one found.

Shapes: D documents, S systems.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mixbench.retrievers.protocol import Ranking

Shares = Callable[[Ranking], list[float]]
"""From a ranking in trec_eval's order to what it gives to each of its documents."""


def reciprocal_ranks(k: float) -> Shares:
    """Return the shares 1 / (k + rank)."""
    return lambda ranking: [1 / (k + rank) for rank in range(1, len(ranking) + 1)]


def min_max(ranking: Ranking) -> list[float]:
    """Return scores moved and stretched to go from 0 to 1."""
    if not ranking:
        return []
    highest, lowest = ranking[0][1], ranking[-1][1]
    if highest == lowest:
        return [1.0] * len(ranking)
    return [(score - lowest) / (highest - lowest) for _, score in ranking]


class Candidates:
    """The documents that any system found for one query, and their shares."""

    def __init__(self, rankings: Sequence[Ranking], shares: Shares) -> None:
        found = {doc_id for ranking in rankings for doc_id, _ in ranking}
        self.doc_ids = sorted(found, reverse=True)
        """In descending order, so that a stable sort leaves equal scores as trec_eval does."""
        self.shares_DS: NDArray[np.float64] = np.zeros((len(found), len(rankings)))
        row = {doc_id: number for number, doc_id in enumerate(self.doc_ids)}
        for system, ranking in enumerate(rankings):
            rows = [row[doc_id] for doc_id, _ in ranking]
            self.shares_DS[rows, system] = shares(ranking)

    def ranked(self, weights: Sequence[float], k: int) -> Ranking:
        """Return the `k` documents with the highest weighted sums of shares, as float32 scores.

        The order of the systems does not enter: each document's terms are added from the lowest up.
        """
        scores_D = np.sort(self.shares_DS * np.asarray(weights), axis=1).sum(axis=1).astype(np.float32)
        kept = np.arange(len(scores_D))
        if k < len(kept):
            kept = np.flatnonzero(scores_D >= np.partition(scores_D, -k)[-k])
        best = kept[np.argsort(-scores_D[kept], kind="stable")][:k]
        return [(self.doc_ids[row], float(scores_D[row])) for row in best]
