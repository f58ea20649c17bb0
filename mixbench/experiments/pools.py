"""`mixbench pools`: a model on known items, in the paper's pools and among all documents."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table

from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.estimates import Estimate, estimates
from mixbench.experiments.evaluating import Places
from mixbench.experiments.item_scorers import open_for, open_scorer
from mixbench.experiments.json_report import JsonReport
from mixbench.experiments.known_items import KnownItems
from mixbench.experiments.lineage import command_line
from mixbench.experiments.systems import EncoderOptions
from mixbench.probes.pools import POOLS, PoolScores, check_pools, score_pools
from mixbench.probes.ranks import rank_scores
from mixbench.results import revision_of


@dataclass(frozen=True, kw_only=True)
class PoolRow:
    """Top-1 accuracy in pools of one size."""

    n: int
    """The query and its candidates, n - 1 of them, as the paper counts."""
    exact: Estimate
    """Over all pools that could be drawn."""
    drawn: Estimate | None
    """In the pools that were drawn, the mean over seeds; None without a seed."""
    by_seed: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class PoolReport(JsonReport):
    """What a model finds in pools, and among all documents. Intervals are of 95 % over documents sought."""

    model: str
    revision: str
    data: str
    data_sha256: str
    queries: int
    documents: int
    left_out: int
    """Queries without exactly one relevant document."""
    in_domain: Sequence[str]
    """What of this data the model was trained on."""
    signs: bool
    """Whether embeddings were cut to their signs."""
    seeds: Sequence[int]
    pools: Sequence[PoolRow]
    all_documents: Mapping[str, Estimate]
    """top1, mrr_at_10 and ndcg_at_10"""
    ranks: str
    """Of the document sought, among all, for each query: numbers with spaces, so that a file stays small."""
    provenance: Mapping[str, Any]

    def table(self) -> Table:
        """Return the report as a table, a row for each size."""
        model = f"{self.model}{'†' * bool(self.in_domain)}{' (signs)' * self.signs}"
        title = f"{model} on {self.data}: top-1 accuracy"
        table = Table(title=title, title_justify="left")
        for heading in ("n", "exact", "drawn", *(f"seed {seed}" for seed in self.seeds)):
            table.add_column(heading, justify="right")
        for row in self.pools:
            drawn = "" if row.drawn is None else row.drawn.shown()
            table.add_row(str(row.n), row.exact.shown(), drawn, *(f"{value:.3f}" for value in row.by_seed))
        table.add_row("all", self.all_documents["top1"].shown())
        mrr, ndcg = (self.all_documents[name].shown() for name in ("mrr_at_10", "ndcg_at_10"))
        sizes = f"{self.queries} queries, {self.documents} documents, {self.left_out} queries left out"
        table.caption = f"MRR@10 {mrr}\nnDCG@10 {ndcg}\n{sizes}"
        if self.in_domain:
            table.caption += f"\n† trained on {', '.join(self.in_domain)}"
        return table


def run_pools(
    model: str,
    items: KnownItems,
    places: Places,
    options: EncoderOptions,
    *,
    pools: Sequence[int] = (),
    seeds: Sequence[int] = (0,),
    signs: bool = False,
) -> PoolReport:
    """Score `model` on `items` in pools of each size, by default the paper's that the documents fill.

    Raises:
        InputError: a pool is larger than the documents, or `signs` of a system without embeddings.
        MixbenchError: the model gives NaN.
    """
    pools = pools or [n for n in POOLS if n <= len(items.documents) + 1] or [len(items.documents) + 1]
    check_pools(pools, len(items.documents))
    retriever = open_for(model, items, places, options)
    scorer = open_scorer(retriever, items, device=options.device, signs=signs)
    found = score_pools(scorer, torch.from_numpy(items.positives), pools, seeds=seeds)
    return PoolReport(
        model=retriever.name,
        revision=revision_of(retriever.recipe),
        data=items.name,
        data_sha256=items.sha256,
        queries=len(items.queries),
        documents=len(items.documents),
        left_out=items.left_out,
        in_domain=items.in_domain(retriever.training_sources),
        signs=signs,
        seeds=list(seeds),
        pools=_rows(found, items),
        all_documents=estimates(rank_scores(found.ranks), items.positives),
        ranks=" ".join(map(str, found.ranks.tolist())),
        provenance=describe_run(
            command=command_line(sys.argv[1:]), device=options.device, seed=options.seed
        ).model_dump(),
    )


def _rows(found: PoolScores, items: KnownItems) -> list[PoolRow]:
    columns = {f"exact {n}": found.exact[:, place] for place, n in enumerate(found.pools)}
    if len(found.drawn):
        columns |= {
            f"drawn {n}": found.drawn[:, :, place].mean(axis=0) for place, n in enumerate(found.pools)
        }
    known = estimates(columns, items.positives)
    return [
        PoolRow(
            n=n,
            exact=known[f"exact {n}"],
            drawn=known.get(f"drawn {n}"),
            by_seed=found.drawn[:, :, place].mean(axis=1).tolist(),
        )
        for place, n in enumerate(found.pools)
    ]
