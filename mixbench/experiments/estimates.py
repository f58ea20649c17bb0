"""Means with their 95 % intervals, by the bootstrap that leaderboards use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixbench.leaderboard.statistics import bootstrap, make_stratum, percentile_interval


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over queries or texts, and its 95 % percentile interval."""

    mean: float
    low: float
    high: float

    def shown(self, decimals: int = 3) -> str:
        """Return it as "0.912 (0.900 to 0.923)"."""
        return f"{self.mean:.{decimals}f} ({self.low:.{decimals}f} to {self.high:.{decimals}f})"


def estimates(
    scores: Mapping[str, ArrayLike], clusters: NDArray[np.int64] | None = None, *, seed: int = 0
) -> dict[str, Estimate]:
    """Return the mean of each score, with its interval.

    `scores` holds (Q,) numbers, one a query or text. Those with the same number in `clusters` (Q,) are drawn
    together, since they look for the same document. All scores have the same resamples.
    """
    stratum = make_stratum(np.stack([np.asarray(each, float) for each in scores.values()]), clusters)
    low, high = percentile_interval(bootstrap([stratum], np.random.default_rng(seed)))
    ends = zip(scores, stratum.means.tolist(), low.tolist(), high.tolist(), strict=True)
    return {name: Estimate(mean=mean, low=lower, high=upper) for name, mean, lower, upper in ends}


def estimate(figures_ST: Sequence[Sequence[float]]) -> Estimate:
    """Return the estimate of figures, a row for each seed and a column for each text."""
    return estimates({"": np.asarray(figures_ST, float).mean(axis=0)})[""]
