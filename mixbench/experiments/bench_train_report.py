"""What `mixbench bench train` says: each model's pace, round by round, and the table of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

from mixbench.experiments.bench import Spread
from mixbench.experiments.model_work import PASSES

RULE = (
    "operations: 3 x the matrix products of the forward pass (the backward pass has twice as many),"
    " 2 a multiply-add, each text alone"
)


@dataclass(frozen=True, kw_only=True)
class TrainRow:
    """One model: its size, the work of a pair, and the seconds of each round."""

    name: str
    parameters: int
    parameters_without_embedding: int
    tokens_per_pair: float
    forward_flops_per_pair: float
    seconds: Sequence[float]
    """Of the timed steps of each round."""
    peak_memory_bytes: int | None
    """Of the device, less what other models keep there; None on a CPU."""

    @property
    def train_flops_per_pair(self) -> float:
        """Operations of a training step for one pair, by `RULE`."""
        return PASSES * self.forward_flops_per_pair


@dataclass(frozen=True, kw_only=True)
class TrainBench:
    """What the bench measured: the model that the others are compared with first."""

    settings: Mapping[str, Any]
    pairs_per_round: int
    """Pairs in the timed steps of a round."""
    rows: Sequence[TrainRow]
    peak: Mapping[str, Any]
    """The device's matrix product, as `MatmulPeak` holds it."""
    notes: Sequence[str]
    provenance: Mapping[str, Any]

    def pairs_per_second(self, row: TrainRow) -> list[float]:
        """Return the pace of `row` in each round."""
        return [self.pairs_per_round / seconds for seconds in row.seconds]

    def ratios(self, row: TrainRow) -> list[float]:
        """Return the pace of `row` over that of the first row, round by round."""
        first = self.rows[0].seconds
        return [before / seconds for before, seconds in zip(first, row.seconds, strict=True)]

    def figures(self, row: TrainRow) -> dict[str, Any]:
        """Return what is measured and worked out of `row`, JSON values only."""
        pace = self.pairs_per_second(row)
        flops = median(pace) * row.train_flops_per_pair
        return {
            **asdict(row),
            "train_flops_per_pair": row.train_flops_per_pair,
            "pairs_per_second": asdict(Spread.of(pace)) | {"rounds": pace},
            "tokens_per_second": median(pace) * row.tokens_per_pair,
            "flops_per_second": flops,
            "share_of_peak": flops / self.peak["flops_per_second"],
            "ratio": asdict(Spread.of(self.ratios(row))) | {"rounds": self.ratios(row)},
        }

    def to_json(self) -> str:
        """Return the whole report as indented JSON."""
        body = asdict(self) | {"rule": RULE, "rows": [self.figures(row) for row in self.rows]}
        return json.dumps(body, indent=2) + "\n"

    def table(self) -> Table:
        """Return the report as `train_table` lays it out."""
        return train_table(self)


def train_table(report: TrainBench) -> Table:
    """Return `report` as a table: medians over the rounds, and what they lie between."""
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    peak = report.peak
    product = f"{peak['size']} x {peak['size']} {peak['dtype']}"
    held = f"peak: torch.matmul of {product}, {peak['flops_per_second'] / 1e9:,.1f} GFLOP/s"
    machine = report.provenance.get("machine", "")
    table = Table(title="Training, one step after another", title_justify="left")
    table.caption = "\n".join([settings, RULE, held, *report.notes, machine])
    table.add_column("model")
    headings = ("parameters", "no embedding", "pairs/s", "min to max", "tokens/s", "GFLOP/s", "of peak")
    for heading in (*headings, "memory MB", f"times {report.rows[0].name}", "min to max"):
        table.add_column(heading, justify="right")
    for row in report.rows:
        table.add_row(row.name, *_cells(report.figures(row)))
    return table


def _cells(figures: Mapping[str, Any]) -> list[str]:
    pace, ratio, memory = figures["pairs_per_second"], figures["ratio"], figures["peak_memory_bytes"]
    return [
        f"{figures['parameters']:,}",
        f"{figures['parameters_without_embedding']:,}",
        f"{pace['median']:,.1f}",
        f"{pace['minimum']:,.1f} to {pace['maximum']:,.1f}",
        f"{figures['tokens_per_second']:,.0f}",
        f"{figures['flops_per_second'] / 1e9:,.1f}",
        f"{figures['share_of_peak']:.1%}",
        "–" if memory is None else f"{memory / 1e6:,.0f}",
        f"{ratio['median']:.3f}",
        f"{ratio['minimum']:.3f} to {ratio['maximum']:.3f}",
    ]
