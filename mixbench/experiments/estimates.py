"""Means over queries with their 95 % intervals, by the bootstrap that leaderboards use."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixbench.leaderboard.statistics import bootstrap, make_stratum, percentile_interval
from mixbench.probes.ranks import Floats, Ints


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over queries, and its 95 % percentile interval."""

    value: float
    low: float
    high: float

    def shown(self, decimals: int = 3) -> str:
        """Return it as "0.912 (0.900 to 0.923)"."""
        return f"{self.value:.{decimals}f} ({self.low:.{decimals}f} to {self.high:.{decimals}f})"


def estimates(scores: Mapping[str, Floats], clusters: Ints, *, seed: int = 0) -> dict[str, Estimate]:
    """Return the mean of each score of queries, with its interval.

    `scores` holds (Q,) numbers, one a query. Queries with the same number in `clusters` (Q,) are drawn
    together, since they look for the same document. All scores have the same resamples.
    """
    stratum = make_stratum(np.stack(list(scores.values())), clusters)
    low, high = percentile_interval(bootstrap([stratum], np.random.default_rng(seed)))
    ends = zip(scores, stratum.means.tolist(), low.tolist(), high.tolist(), strict=True)
    return {name: Estimate(value=value, low=lower, high=upper) for name, value, lower, upper in ends}
