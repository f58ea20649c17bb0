"""What `mixbench probe` says: a record of each inversion, rows over texts and seeds, and their table.

A row's figure is the mean over texts of what each text's seeds give on average; its interval has the
percentiles of means over texts drawn again, as a board's.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from rich.text import Text

from mixbench.experiments.estimates import Estimate, estimate
from mixbench.experiments.json_report import JsonReport

if TYPE_CHECKING:
    from mixbench.probes.inversion import TextInversion

SCHEMA_VERSION = 1
LOSS = "loss: at the end, over that of the true embeddings with a little noise"


@dataclass(frozen=True, kw_only=True)
class ProbeRecord(JsonReport):
    """The inversion of one model at one layer, by one seed: what was done, and what came of it."""

    model: str
    model_sha256: str
    architecture: str | None
    embedding_deviation: float
    """Standard deviation of all entries of the embedding matrix."""
    layer: int
    layers: int
    """Of the model."""
    tokens: int
    """Of each text."""
    seed: int
    """Of the start, and of the weights where they are untrained."""
    settings: Mapping[str, Any]
    source: Mapping[str, str]
    """Name of the texts, and the hash of a file of them."""
    texts: "Sequence[TextInversion]"
    provenance: Mapping[str, Any]
    schema_version: int = SCHEMA_VERSION

    @property
    def place(self) -> str:
        """Where it lies in a folder of records: by model, then by what was done."""
        done = {name: value for name, value in asdict(self).items() if name not in {"texts", "provenance"}}
        identity = hashlib.sha256(json.dumps(done, sort_keys=True).encode()).hexdigest()[:8]
        folder = re.sub(r"[^\w.+@=,-]+", "-", self.model).strip("-")
        return (
            f"{folder}/{self.settings['form']}-layer{self.layer}-tokens{self.tokens}-seed{self.seed}"
            f"-{identity}.json"
        )


@dataclass(frozen=True, kw_only=True)
class ProbeRow:
    """A model at a layer, over texts and seeds."""

    model: str
    embedding_deviation: float
    layer: int
    tokens: int
    hidden: int
    texts: int
    seeds: int
    ham: Estimate
    top1: Estimate
    top5: Estimate
    loss_ratio: float
    """Final loss over the loss of the noise, the mean."""


def probe_rows(records: Sequence[ProbeRecord]) -> list[ProbeRow]:
    """Return a row for each model, layer and length, whose records differ by their seed alone."""
    groups: dict[tuple[str, int, int], list[ProbeRecord]] = {}
    for record in records:
        groups.setdefault((record.model, record.layer, record.tokens), []).append(record)
    return [_row(group) for group in groups.values()]


def _row(records: Sequence[ProbeRecord]) -> ProbeRow:
    first = records[0]

    def of(name: str) -> Estimate:
        return estimate([[getattr(text, name) for text in record.texts] for record in records])

    ratios = [text.loss / text.noise_loss for record in records for text in record.texts if text.noise_loss]
    return ProbeRow(
        model=first.model,
        embedding_deviation=float(np.mean([record.embedding_deviation for record in records])),
        layer=first.layer,
        tokens=first.tokens,
        hidden=first.settings["hidden"],
        texts=len(first.texts),
        seeds=len(records),
        ham=of("ham"),
        top1=of("top1"),
        top5=of("top5"),
        loss_ratio=float(np.mean(ratios)) if ratios else 0.0,
    )


def probe_table(rows: Sequence[ProbeRow], form: str) -> Table:
    """Return rows as a table, shares with their intervals."""
    first = rows[0]
    looked = "all tokens"
    if first.hidden:
        looked = f"tokens before number {first.hidden + 1}, from the states after them"
    table = Table(title=f"Inversion, {form} form: {looked}", title_justify="left")
    table.caption = f"texts {first.texts}, seeds {first.seeds}; {LOSS}"
    table.add_column("model")
    headings = ("embedding sd", "layer", "tokens", "ham (95 %)", "top-1 (95 %)", "top-5 (95 %)", "loss")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        shares = (each.shown() for each in (row.ham, row.top1, row.top5))
        place = (f"{row.embedding_deviation:.4g}", str(row.layer), str(row.tokens))
        table.add_row(Text(row.model), *place, *shares, f"{row.loss_ratio:.2g}")
    return table
