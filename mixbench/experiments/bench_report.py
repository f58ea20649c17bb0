"""What a bench says: the rounds of each contender, their spread, and how it stands against some of the rest.

A ratio is taken within a round and summarised over the rounds: the other's seconds over the row's own, so
that above 1 the row is the faster one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from mixbench.experiments.bench import Spread


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One contender: what it was told that others were not, the seconds of each round, and other figures."""

    name: str
    settings: str
    seconds: Sequence[float]
    figures: Mapping[str, Any] = field(default_factory=dict)
    """JSON values only."""


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """What a bench measured, ours first.

    `unit` names what a round works through, and `per_round` says how many; None where a round is one run.
    `against` are the names that each row is held against. `columns` are those of the table beside the usual:
    heading -> a format of `str.format` over a row's figures; a figure of None is shown as a dash.
    """

    title: str
    unit: str | None = None
    per_round: float = 1
    settings: Mapping[str, Any]
    """What all contenders were given, and how they were timed."""
    rows: Sequence[BenchRow]
    against: Sequence[str]
    columns: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str]
    """What was checked, and who was left out."""
    provenance: Mapping[str, Any]
    """Code, versions, machine and day."""

    def figures(self, row: BenchRow) -> dict[str, Any]:
        """Return all that is known of `row`, its comparisons included, JSON values only."""
        told = {"name": row.name, "settings": row.settings, **row.figures, "seconds": _rounds(row.seconds)}
        if self.unit is not None:
            told[f"{self.unit}_per_second"] = _rounds(self.pace(row))
        return told | {"against": {name: self.compared(row, name) for name in self.against}}

    def pace(self, row: BenchRow) -> list[float]:
        """Return the units a second of `row` in each round."""
        return [self.per_round / seconds for seconds in row.seconds]

    def compared(self, row: BenchRow, name: str) -> dict[str, Any]:
        """Return how often `row` is as fast as the row called `name`, and how many seconds slower it is."""
        other = next(each for each in self.rows if each.name == name)
        pairs = list(zip(other.seconds, row.seconds, strict=True))
        return {
            "ratio": _rounds([theirs / ours for theirs, ours in pairs]),
            "seconds_more": _rounds([ours - theirs for theirs, ours in pairs]),
        }

    def ratio(self, name: str, other: str) -> float:
        """Return how often `name` is as fast as `other`: the median over the rounds."""
        row = next(each for each in self.rows if each.name == name)
        return float(self.compared(row, other)["ratio"]["median"])

    def to_json(self) -> str:
        """Return the whole report as indented JSON."""
        body = {name: value for name, value in asdict(self).items() if name != "columns"}
        return json.dumps(body | {"rows": [self.figures(row) for row in self.rows]}, indent=2) + "\n"

    def table(self) -> Table:
        """Return the report as a table: medians over the rounds, and what they lie between."""
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        machine = self.provenance.get("machine", "")
        table = Table(title=self.title, title_justify="left")
        table.caption = "\n".join([settings, *self.notes, machine])
        table.add_column("system")
        table.add_column("settings")
        pace = "seconds" if self.unit is None else f"{self.unit}/s"
        versus = [heading for name in self.against for heading in (self._versus(name), "min to max")]
        for heading in (pace, "min to max", *versus, *self.columns):
            table.add_column(heading, justify="right")
        for row in self.rows:
            # Text, for a name may hold what rich takes for markup.
            table.add_row(Text(row.name), Text(row.settings), *self._cells(self.figures(row)))
        return table

    def _versus(self, name: str) -> str:
        return f"seconds beyond {name}" if self.unit is None else f"times {name}"

    def _cells(self, figures: Mapping[str, Any]) -> list[str]:
        pace, compared = (
            ("seconds", "seconds_more") if self.unit is None else (f"{self.unit}_per_second", "ratio")
        )
        spreads = [figures[pace], *(figures["against"][name][compared] for name in self.against)]
        shown = [text for spread in spreads for text in _spread(spread)]
        return shown + [_cell(template, figures) for template in self.columns.values()]


def _rounds(figures: Sequence[float]) -> dict[str, Any]:
    return asdict(Spread.of(figures)) | {"rounds": list(figures)}


def _spread(spread: Mapping[str, Any]) -> tuple[str, str]:
    shown = {name: _number(spread[name]) for name in ("median", "minimum", "maximum")}
    return shown["median"], f"{shown['minimum']} to {shown['maximum']}"


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3f}"


def _cell(template: str, figures: Mapping[str, Any]) -> str:
    try:
        return template.format(**figures)
    except TypeError:  # what str.format raises for None
        return "–"
