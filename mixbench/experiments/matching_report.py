"""What `mixbench match` says: each matcher's scores with their intervals, and the table of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from mixbench.experiments.estimates import Estimate
from mixbench.experiments.json_report import JsonReport


@dataclass(frozen=True, kw_only=True)
class MatchRow:
    """One matcher on sets of one size, on test documents alone."""

    rows: int
    """The query and its candidates, m."""
    matcher: str
    parameters: int
    sets: Mapping[str, Estimate]
    """cross_entropy, in nats, and top1, in sets drawn at random"""
    reranked: Mapping[str, Estimate]
    """top1, mrr_at_10 and ndcg_at_10 among all test documents, the best m - 1 by cosine reranked"""
    training: Mapping[str, Any] | None
    """The curve, the best epoch and the speed; None where nothing is trained."""


@dataclass(frozen=True, kw_only=True)
class MatchReport(JsonReport):
    """What set matchers find by a model's frozen embeddings. Intervals are of 95 % over documents sought."""

    model: str
    revision: str
    data: str
    data_sha256: str
    queries: Mapping[str, int]
    """Of train, dev and test."""
    documents: Mapping[str, int]
    left_out: int
    """Queries without exactly one relevant document."""
    in_domain: Sequence[str]
    """What of this data the model was trained on."""
    settings: Mapping[str, Any]
    rows: Sequence[MatchRow]
    provenance: Mapping[str, Any]

    def table(self) -> Table:
        """Return the report as a table, a row for each matcher and size."""
        title = f"{self.model}{'†' * bool(self.in_domain)} on {self.data}"
        table = Table(title=title, title_justify="left")
        for heading in ("m", "matcher", "parameters", "cross-entropy", "chance", "top-1", "epoch"):
            table.add_column(heading, justify="left" if heading == "matcher" else "right")
        for heading in ("reranked top-1", "MRR@10", "nDCG@10"):
            table.add_column(heading, justify="right")
        for row in self.rows:
            in_sets = (
                row.sets["cross_entropy"].shown(),
                f"{math.log(row.rows - 1):.3f}",
                row.sets["top1"].shown(),
            )
            epoch = "" if row.training is None else str(row.training["best"])
            reranked = (row.reranked[name].shown() for name in ("top1", "mrr_at_10", "ndcg_at_10"))
            table.add_row(str(row.rows), row.matcher, f"{row.parameters:,}", *in_sets, epoch, *reranked)
        table.caption = ", ".join(
            f"{part}: {self.queries[part]} queries, {self.documents[part]} documents" for part in self.queries
        )
        if self.in_domain:
            table.caption += f"\n† trained on {', '.join(self.in_domain)}"
        return table
