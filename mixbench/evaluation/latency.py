"""How long one query takes when it comes alone, as a user's does; a rate over many at once does not tell."""

import math
from collections.abc import Sequence

from mixbench.evaluation.cost import Stopwatch
from mixbench.retrievers import Retriever

TIMED = 50
"""Queries timed of a collection, spread evenly over it."""
BUDGET = 10.0
"""Seconds after which no further query of a collection is timed."""
FEWEST = 20
"""Times from which a 95th percentile is told."""


def time_queries(retriever: Retriever, queries: Sequence[str], k: int) -> list[float]:
    """Return the seconds of single searches for `k` documents, for some of `queries`, after one untimed.

    `retriever` has its index, and holds no stored run: that knows no texts.
    """
    chosen = queries[:: -(-len(queries) // TIMED)]
    times: list[float] = []
    for text in [chosen[0], *chosen]:
        watch = Stopwatch()
        with watch:
            retriever.search([text], k)
        times.append(watch.seconds)
        if sum(times) > BUDGET:
            break
    return times[1:]


def percentile(times: list[float], share: float) -> float | None:
    """Return the shortest of `times` that `share` of them do not exceed; None for fewer than FEWEST."""
    if len(times) < FEWEST:
        return None
    return sorted(times)[math.ceil(share * len(times)) - 1]
