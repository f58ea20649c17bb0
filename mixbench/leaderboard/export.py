"""A board for other programs: CSV with a line for each row, JSON with everything that its page says."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from mixbench.leaderboard.analysis import Analysis
from mixbench.leaderboard.contenders import Contender
from mixbench.leaderboard.figures import Figures, figures_of, machine_of
from mixbench.leaderboard.fronts import Front
from mixbench.leaderboard.rules import marks
from mixbench.leaderboard.standings import Cell, Standing
from mixbench.leaderboard.statistics import LEVEL, RESAMPLES
from mixbench.leaderboard.tables import short
from mixbench.results import METRICS

GAP = ("difference", "low", "high", "p_randomisation", "p_t", "effect")
COSTS = tuple(field.name for field in fields(Figures))


def to_csv(analysis: Analysis) -> str:
    """Return a line for each row; scores of a task stand under its name, empty where there is none.

    Costs are there where all results of a row are of one machine.
    """
    names = analysis.board.task_names
    columns = [column for name in names for column in _three(short(name))]
    gap = [f"gap_{key}" if key != "difference" else "gap" for key in GAP]
    header = ["model", "revision", *_three("mean"), "rank", "rank_low", "rank_high", "borda", *gap]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([*header, *columns, "in_domain", "machine", *COSTS])
    for standing in analysis.standings:
        ranks = standing.rank_interval or (None, None)
        writer.writerow(
            _steady(
                [
                    standing.contender.model,
                    standing.contender.revision,
                    *_ends(standing.mean),
                    standing.rank,
                    *ranks,
                    standing.borda,
                    *(None if standing.gap is None else getattr(standing.gap, key) for key in GAP),
                    *(number for name in names for number in _ends(standing.cells.get(name))),
                    " ".join(
                        sorted(
                            {short(each.task) for each in standing.contender.all_results() if each.in_domain}
                        )
                    ),
                    *_costs(standing.contender),
                ]
            )
        )
    return written.getvalue()


def to_json(analysis: Analysis) -> str:
    """Return the analysis as JSON; results are named by their paths below the board's folder."""
    return json.dumps(plain(analysis), indent=1, ensure_ascii=False) + "\n"


def plain(analysis: Analysis) -> dict[str, Any]:
    """Return the analysis as JSON values; numbers are cut where machines begin to differ."""
    everything = {
        "benchmark": analysis.board.benchmark,
        "level": LEVEL,
        "resamples": RESAMPLES,
        "seed": analysis.seed,
        "tasks_drawn": analysis.tasks_drawn,
        "metrics": {short(name): METRICS[metric] for name, metric in analysis.metrics.items()},
        "absent": [short(name) for name in analysis.board.absent],
        "clustered": [short(name) for name in analysis.clustered],
        "unclustered": [short(name) for name in analysis.unclustered],
        "rows": [_row(analysis, standing) for standing in analysis.standings],
        "controls": [
            {
                "control": _named(check.control),
                "architecture": check.architecture,
                "best": None if check.best is None else _named(check.best),
                "gap": None if check.gap is None else asdict(check.gap),
                "worse": check.worse,
                "better": check.better,
            }
            for check in analysis.controls
        ],
        "fronts": [_front(front) for front in analysis.fronts],
    }
    steady: dict[str, Any] = _steady(everything)
    return steady


def _row(analysis: Analysis, standing: Standing) -> dict[str, Any]:
    contender = standing.contender
    return {
        **_named(contender),
        "seeds": list(contender.seeds),
        "dirty": contender.dirty,
        "architecture": contender.architecture,
        "control_of": contender.control_of,
        "mean": None if standing.mean is None else _cell(standing.mean),
        "rank": standing.rank,
        "rank_interval": standing.rank_interval,
        "borda": standing.borda,
        "gap": None if standing.gap is None else asdict(standing.gap),
        "tasks": {short(name): _task(analysis, standing, name) for name in standing.cells},
        "costs": dict(zip(("machine", *COSTS), _costs(contender), strict=True)),
    }


def _task(analysis: Analysis, standing: Standing, name: str) -> dict[str, Any]:
    results = standing.contender.results(name)
    return {
        **_cell(standing.cells[name]),
        "marks": "".join(dict.fromkeys(mark for each in results for mark in marks(analysis.board, each))),
        "results": [each.place.relative_to(analysis.board.benchmark).as_posix() for each in results],
        "scores": [each.scores.model_dump() for each in results],
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {**asdict(cell), "tied": cell.tied}


def _named(contender: Contender) -> dict[str, str]:
    return {"model": contender.model, "revision": contender.revision}


def _front(front: Front) -> dict[str, Any]:
    points = [
        {**_named(each.contender), "quality": each.quality, "cost": each.cost, "on_front": each.on_front}
        for each in front.points
    ]
    return {"cost": front.cost.name, "unit": front.cost.unit, "machine": front.machine, "points": points}


def _costs(contender: Contender) -> list[Any]:
    results = contender.all_results()
    figures, machines = figures_of(results), {machine_of(result) for result in results}
    if figures is None or len(machines) > 1:
        return [None] * (1 + len(COSTS))
    return [machines.pop(), *(getattr(figures, key) for key in COSTS)]


def _three(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high"]


def _ends(cell: Cell | None) -> Sequence[float | None]:
    return [None] * 3 if cell is None else [cell.score, cell.low, cell.high]


def _steady(value: Any) -> Any:
    """Return `value` with its numbers cut to six digits, so that all machines write the same.

    The first cut is where they begin to differ: what lies just between two numbers then does so everywhere.
    """
    if isinstance(value, float):
        return float(f"{float(f'{value:.9g}'):.6g}")
    if isinstance(value, dict):
        return {key: _steady(each) for key, each in value.items()}
    return [_steady(each) for each in value] if isinstance(value, list | tuple) else value
