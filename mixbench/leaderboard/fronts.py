"""Pareto fronts: the contenders than which no other is at least as good for at most the cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mixbench.leaderboard.contenders import Contender
from mixbench.leaderboard.figures import Figures, figures_of, machine_of
from mixbench.leaderboard.standings import Standing


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What is paid for quality: `of` figures, in `unit`; the less the better."""

    name: str
    unit: str
    timed: bool
    """Whether it is a speed, which only rows on one machine have in common."""
    of: Callable[[Figures], float | None]


COSTS = (
    Cost(name="parameters", unit="10^6", timed=False, of=lambda each: each.parameters / 1e6),
    Cost(
        name="operations a document",
        unit="MFLOPs",
        timed=False,
        of=lambda each: None if each.flops_per_document is None else each.flops_per_document / 1e6,
    ),
    Cost(name="index", unit="MB", timed=False, of=lambda each: each.index_bytes / 1e6),
    Cost(
        name="time a document",
        unit="ms",
        timed=True,
        of=lambda each: None if each.documents_per_second is None else 1e3 / each.documents_per_second,
    ),
    Cost(
        name="query alone, median",
        unit="ms",
        timed=True,
        of=lambda each: None if each.query_seconds_p50 is None else each.query_seconds_p50 * 1e3,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A contender's mean main score and what it costs."""

    contender: Contender
    quality: float
    cost: float
    on_front: bool


@dataclass(frozen=True, kw_only=True)
class Front:
    """All points of one cost, best quality first; `machine` is None where any may be compared."""

    cost: Cost
    machine: str | None
    points: Sequence[Point]


def find_fronts(standings: Sequence[Standing]) -> list[Front]:
    """Return a front for each cost that two or more ranked contenders have, for each machine if timed."""
    fronts = []
    for cost in COSTS:
        measured: dict[str | None, list[tuple[Contender, float, float]]] = {}
        for standing in standings:
            results = standing.contender.all_results()
            figures, machines = figures_of(results), {machine_of(result) for result in results}
            value = None if figures is None else cost.of(figures)
            if standing.mean is None or value is None or (cost.timed and len(machines) > 1):
                continue
            key = min(machines) if cost.timed else None
            measured.setdefault(key, []).append((standing.contender, standing.mean.score, value))
        fronts += [
            Front(cost=cost, machine=machine, points=_points(entries))
            for machine, entries in sorted(measured.items(), key=lambda item: item[0] or "")
            if len(entries) > 1
        ]
    return fronts


def _points(entries: Sequence[tuple[Contender, float, float]]) -> list[Point]:
    return [
        Point(
            contender=contender,
            quality=quality,
            cost=cost,
            on_front=not any(
                other >= quality and price <= cost and (other > quality or price < cost)
                for _, other, price in entries
            ),
        )
        for contender, quality, cost in entries
    ]
