"""How sure a score is: intervals, paired tests and ranks of scores that are means over queries.

A task's score is the mean over its strata (its parts; most tasks have one), a stratum's the mean over its
queries. What is drawn again, or has its sign flipped, is a unit: a query, or the queries that share a
relevant document, since these are not independent (a cluster bootstrap, Davison and Hinkley 1997, 3.8).
Every draw is the same for all systems, so that differences of draws are draws of the difference.

Shapes: m systems, n queries, u units, r resamples. The same seed gives the same numbers, on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

RESAMPLES = 10_000
LEVEL = 0.95
ENUMERATED_UNITS = 13
"""Up to this many units all 2^u sign patterns are tried, fewer than are drawn otherwise."""
AT_ONCE = 1 << 20
"""Numbers held at once while drawing."""
TOLERANCE = 1e-12
"""Differences below this are none: sums in another order differ by as much."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """The scores of m systems on queries whose plain mean counts: `sums` (m, u) over the queries of units."""

    sums: Numbers
    sizes: Numbers
    """(u,) queries of each unit."""

    @property
    def means(self) -> Numbers:
        """(m,) scores."""
        return np.asarray(self.sums.sum(axis=1) / self.sizes.sum())


Strata = Sequence[Stratum]
"""One task: its score is the mean over these."""


def make_stratum(scores: Numbers, clusters: NDArray[np.int64] | None = None) -> Stratum:
    """Return the stratum of `scores` (m, n); queries with the same number in `clusters` (n,) are one unit."""
    if clusters is None:
        return Stratum(sums=np.asarray(scores, float), sizes=np.ones(scores.shape[1]))
    _, units = np.unique(clusters, return_inverse=True)
    sums = np.stack([np.asarray(np.bincount(units, weights=row), float) for row in scores])
    return Stratum(sums=sums, sizes=np.bincount(units).astype(float))


def mean_scores_of(strata: Strata) -> Numbers:
    """Return the scores (m,) of a task."""
    return np.asarray(sum(each.means for each in strata) / len(strata))


def resampled_means(stratum: Stratum, indices: NDArray[np.int64]) -> Numbers:
    """Return the scores (r, m) on the units that `indices` (r, u) name, each as often as it is named."""
    r, u = indices.shape
    offset = indices + np.arange(r)[:, None] * u
    counts = np.bincount(offset.ravel(), minlength=r * u).reshape(r, u).astype(float)
    return np.asarray((counts @ stratum.sums.T) / (counts @ stratum.sizes)[:, None])


def bootstrap(strata: Strata, rng: np.random.Generator, resamples: int = RESAMPLES) -> Numbers:
    """Return the scores (r, m) of a task on resamples of the units of each stratum, with replacement."""
    draws = np.zeros((resamples, strata[0].sums.shape[0]))
    for stratum in strata:
        u = len(stratum.sizes)
        for start, stop in _chunks(resamples, u):
            indices = rng.integers(0, u, (stop - start, u))
            draws[start:stop] += resampled_means(stratum, indices) / len(strata)
    return draws


def over_tasks(draws: Sequence[Numbers], rng: np.random.Generator | None) -> Numbers:
    """Return draws (r, m) of the mean over tasks from the draws of each; with `rng` tasks are drawn too.

    A task that is drawn twice brings queries drawn twice, independently: those of another resample.
    """
    if rng is None:
        return np.asarray(sum(draws) / len(draws))
    stacked, tasks = np.stack(draws), len(draws)
    resamples = stacked.shape[1]
    chosen = rng.integers(0, tasks, (resamples, tasks))
    row, step = np.arange(resamples), max(1, resamples // tasks)
    slots = (stacked[chosen[:, slot], (row + slot * step) % resamples] for slot in range(tasks))
    return np.asarray(sum(slots) / tasks)


def percentile_interval(draws: Numbers, level: float = LEVEL) -> tuple[Numbers, Numbers]:
    """Return the ends (m,) of the percentile interval of draws (r, m)."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def flipped_means(strata: Strata, rng: np.random.Generator, resamples: int = RESAMPLES) -> Numbers:
    """Return (r, m) scores whose units have random signs.

    Where two systems are equally good, the difference of their columns is distributed as their difference is.
    """
    flipped = np.zeros((resamples, strata[0].sums.shape[0]))
    for stratum in strata:
        u = len(stratum.sizes)
        weights = stratum.sums.T / stratum.sizes.sum() / len(strata)
        for start, stop in _chunks(resamples, u):
            bits = np.unpackbits(rng.integers(0, 256, (stop - start, -(-u // 8)), dtype=np.uint8), axis=1)
            flipped[start:stop] += (bits[:, :u] * 2.0 - 1) @ weights
    return flipped


def enumerated_means(tasks: Sequence[Strata]) -> list[Numbers] | None:
    """Return the scores (2^u, m) of each task under every pattern of signs of all units of all tasks.

    None where there are more than ENUMERATED_UNITS of them.
    """
    units = sum(len(stratum.sizes) for strata in tasks for stratum in strata)
    if units > ENUMERATED_UNITS:
        return None
    signs = (np.arange(1 << units)[:, None] >> np.arange(units) & 1) * 2.0 - 1
    flipped, start = [], 0
    for strata in tasks:
        total = np.zeros((1 << units, strata[0].sums.shape[0]))
        for stratum in strata:
            stop = start + len(stratum.sizes)
            total += signs[:, start:stop] @ stratum.sums.T / stratum.sizes.sum() / len(strata)
            start = stop
        flipped.append(total)
    return flipped


def randomisation_p(difference: Numbers, null: Numbers, *, exact: bool) -> Numbers:
    """Return two-sided p values (k,) of differences (k,) whose null draws are `null` (r, k).

    `exact` tells that the draws are all that there are; else the observed one is counted among them (Phipson
    and Smyth 2010), so that no p value is 0.
    """
    extreme = (np.abs(null) >= np.abs(difference) - TOLERANCE).sum(axis=0)
    return np.asarray(extreme / len(null) if exact else (extreme + 1) / (len(null) + 1))


@dataclass(frozen=True, kw_only=True)
class TTest:
    """Paired t test of a difference of scores, and the difference in standard deviations of its queries."""

    difference: float
    p_value: float
    effect: float
    """Cohen's d of paired scores; of several strata, by their mean variance. 0 where nothing differs."""


def paired_t(tasks: Sequence[Strata], a: int, b: int) -> TTest:
    """Return the t test of score `b` minus score `a` (places among the m) of the mean over tasks.

    Of one stratum of single queries it is Student's paired test; units are taken by linearisation, several
    strata by Welch and Satterthwaite's degrees of freedom.
    """
    difference = variance = spread = weight_of_df = 0.0
    for strata in tasks:
        weight = 1 / len(tasks) / len(strata)
        for stratum in strata:
            deltas, sizes = stratum.sums[b] - stratum.sums[a], stratum.sizes
            u, mean = len(sizes), float(deltas.sum() / sizes.sum())
            squares = float(((deltas - mean * sizes) ** 2).sum()) * u / max(u - 1, 1)
            part = weight**2 * squares / float(sizes.sum()) ** 2
            difference += weight * mean
            variance += part
            spread += weight * squares / float(sizes.sum())
            weight_of_df += part**2 / max(u - 1, 1)
    if variance <= TOLERANCE**2:
        return TTest(difference=difference, p_value=float(abs(difference) <= TOLERANCE), effect=0.0)
    freedom = variance**2 / weight_of_df
    p_value = 2 * float(stdtr(freedom, -abs(difference) / variance**0.5))
    return TTest(difference=difference, p_value=p_value, effect=difference / spread**0.5)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number by Holm's step-down method (1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, k in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, p_values[k] * (len(p_values) - place)))
        adjusted[k] = largest
    return adjusted


def rank_intervals(means: Numbers, draws: Numbers, level: float = LEVEL) -> list[tuple[int, int]]:
    """Return the best and the worst rank of each system that its draws (r, m) leave possible.

    A rank counts the systems that are surely better: those whose difference from this one stays away from 0
    by the quantile, over the draws, of the largest of all its studentised differences. See Mogstad, Romano,
    Shaikh and Wilhelm (2024), Inference for Ranks, Review of Economic Studies 91(1). Percentiles of the ranks
    of the draws would be too narrow among systems that lie close together.
    """
    found = []
    for k in range(len(means)):
        differences, drawn = means - means[k], draws - draws[:, [k]]
        errors = drawn.std(axis=0)
        known = errors > TOLERANCE
        reach = np.zeros(len(drawn))
        if known.any():
            reach = np.abs((drawn[:, known] - differences[known]) / errors[known]).max(axis=1)
        margin = float(np.quantile(reach, level)) * errors + TOLERANCE
        better, worse = int((differences > margin).sum()), int((-differences > margin).sum())
        found.append((1 + better, len(means) - worse))
    return found


def average_ranks(scores: Numbers) -> Numbers:
    """Return ranks (m,) of scores (m,), the highest 1; equal scores share the mean of their ranks.

    NaN has the rank NaN and is not counted.
    """
    higher = (scores[None, :] > scores[:, None]).sum(axis=1)
    equal = (scores[None, :] == scores[:, None]).sum(axis=1)
    return np.where(np.isnan(scores), np.nan, higher + (equal + 1) / 2)


def borda_ranks(scores: Numbers) -> list[int]:
    """Return the Borda rank of each system from scores (m, tasks), NaN where one has no score.

    As mteb counts: in each task m minus the rank, nothing where the score lacks; equal sums share the best.
    """
    points = [np.nan_to_num(len(scores) - average_ranks(column)) for column in scores.T]
    total = np.sum(points, axis=0)
    return [1 + int((total > each).sum()) for each in total]


def _chunks(resamples: int, units: int) -> list[tuple[int, int]]:
    step = max(1, AT_ONCE // max(units, 1))
    return [(start, min(start + step, resamples)) for start in range(0, resamples, step)]
