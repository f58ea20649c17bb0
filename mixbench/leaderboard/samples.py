"""Samples: the scores of m systems on the same queries, drawn again, and with random signs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixbench.leaderboard.statistics import (
    RESAMPLES,
    Numbers,
    Strata,
    Stratum,
    TTest,
    bootstrap,
    enumerated_means,
    flipped_means,
    mean_scores_of,
    over_tasks,
    paired_t,
    percentile_interval,
    randomisation_p,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """The scores of m systems on one task, or their means over several, with what chance makes of them.

    `draws` (resamples, m) are the scores on resampled queries, `flipped` (patterns, m) those with the signs
    of queries changed; `exact` tells that these are all patterns.
    """

    tasks: tuple[Strata, ...]
    draws: Numbers
    flipped: Numbers
    exact: bool

    @cached_property
    def means(self) -> Numbers:
        """(m,) scores."""
        return np.asarray(sum(mean_scores_of(strata) for strata in self.tasks) / len(self.tasks))

    @cached_property
    def ends(self) -> tuple[Numbers, Numbers]:
        """The ends (m,) of the interval of each score."""
        return percentile_interval(self.draws)

    def difference_ends(self, a: int, b: int) -> tuple[float, float]:
        """Return the ends of the interval of score `b` minus score `a`, which are places among the m."""
        low, high = percentile_interval(self.draws[:, [b]] - self.draws[:, [a]])
        return float(low[0]), float(high[0])

    def p_values(self, a: int) -> list[float]:
        """Return for each system the p value of its difference from `a`, by the randomisation test."""
        null = self.flipped - self.flipped[:, [a]]
        return [float(p) for p in randomisation_p(self.means - self.means[a], null, exact=self.exact)]

    def t_test(self, a: int, b: int) -> TTest:
        """Return the paired t test of score `b` minus score `a`."""
        return paired_t(self.tasks, a, b)


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return the random numbers of a seed for what `names` say; those of other names have others."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], dtype="<u4").tolist()])


def sample_task(name: str, strata: Strata, seed: int = 0, resamples: int = RESAMPLES) -> Sample:
    """Return the sample of the scores on one task: its draws follow from `seed`, the name and the units."""
    every = enumerated_means([strata])
    return Sample(
        tasks=(strata,),
        draws=bootstrap(strata, generator(seed, "queries", name), resamples),
        flipped=flipped_means(strata, generator(seed, "signs", name), resamples)
        if every is None
        else every[0],
        exact=every is not None,
    )


def sample_mean(
    samples: Sequence[Sample], places: Sequence[Sequence[int]], seed: int, *, draw_tasks: bool
) -> Sample:
    """Return the sample of the mean over tasks of some systems: those at `places` of each task's sample.

    `draw_tasks` draws the tasks again too; the signs of queries are changed task by task, in any case.
    """
    tasks = [_only(each.tasks[0], chosen) for each, chosen in zip(samples, places, strict=True)]
    draws = [each.draws[:, chosen] for each, chosen in zip(samples, places, strict=True)]
    every = enumerated_means(tasks)
    flipped = every or [
        flipped_means(strata, generator(seed, "signs of few", str(k)), len(each.draws))
        if each.exact
        else each.flipped[:, chosen]
        for k, (strata, each, chosen) in enumerate(zip(tasks, samples, places, strict=True))
    ]
    return Sample(
        tasks=tuple(tasks),
        draws=over_tasks(draws, generator(seed, "tasks") if draw_tasks else None),
        flipped=over_tasks(flipped, None),
        exact=every is not None,
    )


def _only(strata: Strata, places: Sequence[int]) -> Strata:
    return [Stratum(sums=each.sums[list(places)], sizes=each.sizes) for each in strata]
