"""Benches: programs that do the same work, timed in turn on the same inputs.

Taking turns input by input (A B A B) lets whatever else the machine does meanwhile slow all of them alike.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, TypeVar

from rich.table import Table

Input = TypeVar("Input")


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """The times of one contender, in seconds an input."""

    name: str
    settings: str
    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, name: str, settings: str, seconds: Sequence[float]) -> "BenchRow":
        """Summarise the times of the contender called `name`, one for each input."""
        return cls(
            name=name, settings=settings, median=median(seconds), minimum=min(seconds), maximum=max(seconds)
        )


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """What a bench measured: our row first, the peer that it is held against second, then any others."""

    title: str
    settings: Mapping[str, Any]
    """What all contenders were given, and how they were timed."""
    rows: Sequence[BenchRow]
    notes: Sequence[str]
    """What was checked, and who was left out."""
    provenance: Mapping[str, Any]
    """Code, versions, machine and day."""

    @property
    def ratio(self) -> float | None:
        """How many times faster we are than the peer, median by median; None without a peer."""
        return self.rows[1].median / self.rows[0].median if len(self.rows) > 1 else None

    def to_json(self) -> str:
        """Return the whole report, the ratio included, as indented JSON."""
        return json.dumps(asdict(self) | {"ratio": self.ratio}, indent=2) + "\n"


def alternate(
    contenders: Sequence[Callable[[Input], object]], inputs: Sequence[Input], *, warmup: int
) -> list[list[float]]:
    """Return the seconds of each contender (outer list) on each of `inputs` (inner list).

    Contenders take turns on each input. First all of them work through `warmup` inputs, not timed.
    """
    for work in inputs[:warmup]:
        for contender in contenders:
            contender(work)
    seconds: list[list[float]] = [[] for _ in contenders]
    for work in inputs:
        for contender, times in zip(contenders, seconds, strict=True):
            start = time.perf_counter()
            contender(work)
            times.append(time.perf_counter() - start)
    return seconds


def report_table(report: BenchReport) -> Table:
    """Return `report` as a table: milliseconds an input, and how often our median fits into each."""
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    machine = report.provenance.get("machine", "")
    table = Table(title=report.title, caption="\n".join([settings, *report.notes, machine]))
    table.add_column("system")
    table.add_column("settings")
    for heading in ("median ms", "min ms", "max ms", "times ours"):
        table.add_column(heading, justify="right")
    for row in report.rows:
        times = [f"{1000 * seconds:.3f}" for seconds in (row.median, row.minimum, row.maximum)]
        table.add_row(row.name, row.settings, *times, f"{row.median / report.rows[0].median:.1f}")
    return table
