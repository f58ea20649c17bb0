"""The parts of a page in Markdown on how sure its scores are, and what they are worth at their cost."""

from mixbench.leaderboard.analysis import Analysis
from mixbench.leaderboard.controls import ControlCheck
from mixbench.leaderboard.fronts import Front, Point
from mixbench.leaderboard.standings import Gap
from mixbench.leaderboard.tables import (
    NOTHING,
    between,
    chance,
    effect,
    row_name,
    said_chance,
    score,
    short,
    signed,
    table,
)


def controls(analysis: Analysis) -> list[str]:
    """Return a paragraph on the controls of the board, if it has any."""
    lines = [_control(check) for check in analysis.controls]
    if any(check.better for check in analysis.controls):
        return ["**A control is better than what it controls.**", *lines]
    if any(check.gap is not None and not check.worse for check in analysis.controls):
        return ["**A control is not worse than what it controls.**", *lines]
    return lines


def _control(check: ControlCheck) -> str:
    name = f"{row_name(check.control)}, a control of the {check.architecture},"
    if check.best is None or check.gap is None:
        return f"{name} is not tested: it, or each that is recorded as one, lacks a task here."
    how = (
        "significantly better"
        if check.better
        else "significantly worse"
        if check.worse
        else "not significantly worse"
    )
    best = f"the best model recorded as {check.architecture}, {row_name(check.best)}"
    said = f"{name} is {how} than {best}:"
    return f"{said} {_gap(check.gap)}, {said_chance(check.gap.p_randomisation)}."


def intervals(analysis: Analysis) -> list[str]:
    """Return the table of the interval of each score."""
    names = analysis.board.task_names
    body = []
    for standing in analysis.standings:
        cells = [standing.cells.get(name) for name in names]
        shown = [NOTHING if cell is None else between(cell.low, cell.high) for cell in cells]
        body.append([row_name(standing.contender), *shown])
    return table(["Model", *map(short, names)], body)


def gaps(analysis: Analysis) -> list[str]:
    """Return the section on how far each ranked row is from the best mean; nothing where there is one row."""
    tested = [standing for standing in analysis.standings if standing.gap is not None]
    if not tested:
        return []
    header = ["Model", "Difference", "95 % interval", "p (randomisation)", "p (t)", "Effect"]
    best = row_name(analysis.standings[0].contender)
    lines = [
        "## Distance from the best",
        "",
        f"That is {best}. Differences of means are tested query by query: both p values",
        "hold the tasks fixed and are by Holm's method over the rows; the effect is in standard deviations",
        "of the queries' differences.",
        "",
    ]
    body = []
    for standing in tested:
        gap = standing.gap
        assert gap is not None
        numbers = [signed(gap.difference), f"{signed(gap.low)} to {signed(gap.high)}"]
        tests = [chance(gap.p_randomisation), chance(gap.p_t), effect(gap.effect)]
        body.append([row_name(standing.contender), *numbers, *tests])
    return [*lines, *table(header, body)]


def fronts(analysis: Analysis) -> list[str]:
    """Return the section on quality and cost; nothing where no cost is known of two ranked rows."""
    if not analysis.fronts:
        return []
    lines = [
        "## Quality and cost",
        "",
        "The Pareto fronts: no other row is at least as good for at most the cost. Speeds are compared only",
        "where they were measured on one machine.",
        "",
    ]
    body = []
    for front in analysis.fronts:
        for point in front.points:
            if point.on_front:
                body.append([_cost(front), row_name(point.contender), score(point.quality), _paid(point)])
    return [*lines, *table(["Cost", "On the front", "Mean", "Costs"], body, left=2)]


def _cost(front: Front) -> str:
    return f"{front.cost.name}, {front.cost.unit}" + (f" ({front.machine})" if front.machine else "")


def _paid(point: Point) -> str:
    return f"{point.cost:,.0f}" if point.cost >= 100 else f"{point.cost:.3g}"


def _gap(gap: Gap) -> str:
    return f"difference {signed(gap.difference)} ({signed(gap.low)} to {signed(gap.high)})"
