"""Standings: each contender's scores with their intervals, its rank, and its distance from the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixbench.leaderboard.contenders import Contender
from mixbench.leaderboard.evidence import Evidence, strata_of
from mixbench.leaderboard.rows import Board
from mixbench.leaderboard.samples import Sample, sample_task
from mixbench.leaderboard.statistics import borda_ranks, holm, rank_intervals

ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A score, on one task or the mean over all, with its 95 % interval."""

    score: float
    """Mean over seeds."""
    low: float
    high: float
    seed_spread: float | None
    """Standard deviation over seeds (n - 1), None for one."""
    best: bool = False
    p_value: float | None = None
    """Of the randomisation test against the best of the column, by Holm over the column; else None."""

    @property
    def tied(self) -> bool:
        """Whether it is another than the best of its column, but not separable from it."""
        return self.p_value is not None and self.p_value >= ALPHA


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The difference of a mean from another's (this minus that), tested query by query, tasks held fixed."""

    difference: float
    low: float
    high: float
    p_randomisation: float
    p_t: float
    effect: float
    """In standard deviations of the queries' differences (Cohen's d of paired scores)."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A contender on the board. What needs a score on every task is None where one lacks."""

    contender: Contender
    cells: Mapping[str, Cell]
    mean: Cell | None
    rank: int | None
    rank_interval: tuple[int, int] | None
    """Best and worst rank that its draws leave possible."""
    borda: int
    gap: Gap | None
    """From the best mean, p values by Holm over the board; None for the best itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """A task on the board: the contenders that can be compared on it, their sample, and every cell."""

    task: str
    contenders: Sequence[Contender]
    sample: Sample | None
    cells: Mapping[Contender, Cell]


def column_of(
    board: Board, contenders: Sequence[Contender], task: str, evidence: Evidence, metric: str, seed: int
) -> Column:
    """Return the column of a task. Results for other data than the column's stand for themselves.

    Raises InputError, naming both, where two results of the same data have other queries.
    """
    present = [each for each in contenders if each.results(task)]
    inside = [each for each in present if task not in each.lacks(board)]
    groups = [inside] * bool(inside) + [[each] for each in present if each not in inside]
    cells: dict[Contender, Cell] = {}
    sample = None
    for group in groups:
        strata = strata_of([each.results(task) for each in group], evidence, metric)
        drawn = sample_task(task, strata, seed)
        per_seed = [[result.scores.of(metric) for result in each.results(task)] for each in group]
        cells |= dict(zip(group, _cells(drawn, per_seed), strict=True))
        sample = drawn if group is inside else sample
    return Column(task=task, contenders=inside, sample=sample, cells=cells)


def standings_of(
    contenders: Sequence[Contender],
    complete: Sequence[Contender],
    columns: Sequence[Column],
    whole: Sample | None,
    metrics: Mapping[str, str],
) -> list[Standing]:
    """Return the standings: the `complete`, whose means are `whole`, best first, and then the others."""
    means: dict[Contender, Cell] = {}
    ranks: dict[Contender, tuple[int, int]] = {}
    gaps: dict[Contender, Gap] = {}
    if whole is not None:
        per_seed = [_seed_means(each, metrics) for each in complete]
        means = dict(zip(complete, _cells(whole, per_seed), strict=True))
        ranks = dict(zip(complete, rank_intervals(whole.means, whole.draws), strict=True))
        best = int(np.argmax(whole.means))
        others = [place for place in range(len(complete)) if place != best]
        found = gaps_from(whole, best, others)
        gaps = {complete[place]: gap for place, gap in zip(others, found, strict=True)}
    order = sorted(means, key=lambda each: (-means[each].score, each.model, each.revision))
    rest = sorted(
        (each for each in contenders if each not in means), key=lambda each: -len(each.all_results())
    )
    borda = dict(zip(contenders, borda_ranks(_scores(contenders, columns)), strict=True))
    return [
        Standing(
            contender=each,
            cells={column.task: column.cells[each] for column in columns if each in column.cells},
            mean=means.get(each),
            rank=1 + sum(means[other].score > means[each].score for other in means)
            if each in means
            else None,
            rank_interval=ranks.get(each),
            borda=borda[each],
            gap=gaps.get(each),
        )
        for each in [*order, *rest]
    ]


def gaps_from(sample: Sample, best: int, others: Sequence[int]) -> list[Gap]:
    """Return how far each of `others` is from `best`, places in a sample; p values by Holm over them."""
    tests = [sample.t_test(best, place) for place in others]
    p_values = sample.p_values(best)
    by_signs = holm([p_values[place] for place in others])
    by_t = holm([test.p_value for test in tests])
    gaps = []
    for k, place in enumerate(others):
        low, high = sample.difference_ends(best, place)
        gaps.append(
            Gap(
                difference=tests[k].difference,
                low=low,
                high=high,
                p_randomisation=by_signs[k],
                p_t=by_t[k],
                effect=tests[k].effect,
            )
        )
    return gaps


def _cells(sample: Sample, per_seed: Sequence[Sequence[float]]) -> list[Cell]:
    means, (low, high) = sample.means, sample.ends
    best = int(np.argmax(means))
    others = [place for place in range(len(means)) if place != best]
    p_values = sample.p_values(best)
    adjusted = dict(zip(others, holm([p_values[place] for place in others]), strict=True))
    return [
        Cell(
            score=float(np.mean(seeds)),
            low=float(low[place]),
            high=float(high[place]),
            seed_spread=float(np.std(seeds, ddof=1)) if len(seeds) > 1 else None,
            best=place == best and len(means) > 1,
            p_value=adjusted.get(place),
        )
        for place, seeds in enumerate(per_seed)
    ]


def _seed_means(contender: Contender, metrics: Mapping[str, str]) -> list[float]:
    return [
        float(np.mean([row.results[name].scores.of(metric) for name, metric in metrics.items()]))
        for row in contender.rows
    ]


def _scores(contenders: Sequence[Contender], columns: Sequence[Column]) -> np.ndarray:
    table = np.full((len(contenders), len(columns)), np.nan)
    for number, column in enumerate(columns):
        for each in column.contenders:
            table[contenders.index(each), number] = column.cells[each].score
    return table
