"""`mixbench match`: set matchers on a model's frozen embeddings, the paper's first retrieval protocol."""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn

from mixbench.errors import InputError, UnknownName
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.estimates import Estimate, estimates
from mixbench.experiments.evaluating import Places
from mixbench.experiments.item_scorers import ItemEmbeddings, embed, open_for
from mixbench.experiments.known_items import KnownItems
from mixbench.experiments.lineage import command_line
from mixbench.experiments.progress import say
from mixbench.experiments.systems import EncoderOptions
from mixbench.models.mixer import Block
from mixbench.models.mixer_config import MixerConfig
from mixbench.probes.matcher import (
    BlockMatcher,
    CosineMatcher,
    DistanceMatcher,
    EquivariantBlock,
    SetMatcher,
    check_rows,
)
from mixbench.probes.matcher_scoring import rerank, score_matcher
from mixbench.probes.matcher_sets import EmbeddedPairs
from mixbench.probes.matcher_training import MatcherSettings, train_matcher
from mixbench.probes.ranks import rank_scores
from mixbench.results import revision_of


class UnmaskedBlock(nn.Module):
    """The block of a masked mixer without its mask, over the rows of a set: (B, m, d) to (B, m, d)."""

    def __init__(self, width: int, rows: int) -> None:
        super().__init__()
        self.block = Block(MixerConfig(width=width, depth=1, context=rows, vocabulary=1, causal=False))

    def forward(self, x_Bmd: Tensor) -> Tensor:
        mixed_Bmd: Tensor = self.block(x_Bmd, x_Bmd.new_ones(1, x_Bmd.shape[1], 1))
        return mixed_Bmd


TRAINED: dict[str, Callable[[int, int], nn.Module]] = {
    "mixer": UnmaskedBlock,
    "equivariant": EquivariantBlock,
}
"""The blocks of matchers that are trained: the paper's, and the control."""
UNTRAINED: dict[str, Callable[[], SetMatcher]] = {
    "cosine": CosineMatcher,
    "l1": lambda: DistanceMatcher(1),
    "l2": lambda: DistanceMatcher(2),
}
MATCHERS = (*TRAINED, *UNTRAINED)
DEV_SHARE, TEST_SHARE = 0.1, 0.2
"""Of the documents. Their queries go with them, so that no document is trained on and tested with."""


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
class MatchReport:
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

    def to_json(self) -> str:
        """Return the report as indented JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def table(self) -> Table:
        """Return the report as a table, a row for each matcher and size."""
        title = f"{self.model}{'†' * bool(self.in_domain)} on {self.data} († trained on this data)"
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
        return table


def run_matching(
    model: str,
    items: KnownItems,
    places: Places,
    options: EncoderOptions,
    *,
    settings: MatcherSettings,
    rows: Sequence[int] = (32,),
    matchers: Sequence[str] = ("mixer", "equivariant", "cosine"),
    depth: int = 8,
    draws: int = 4,
) -> MatchReport:
    """Train and score matchers on the embeddings that `model` has of `items`, in sets of `rows` each.

    A tenth of the documents, with their queries, choose the epoch, and a fifth are tested on. `draws` sets
    are scored for each test query.

    Raises:
        InputError: a system without embeddings, or too few documents for a set.
        UnknownName: there is no such matcher.
        MixbenchError: an embedding or a loss is no number.
    """
    for name in matchers:
        if name not in MATCHERS:
            raise UnknownName.of("matcher", name, MATCHERS)
    retriever = open_for(model, items, places, options)
    chosen = _split(len(items.documents), settings.seed)
    for m in rows:
        check_rows(m, min(len(documents) for documents in chosen.values()))
    embeddings = embed(retriever, items)
    parts = {part: _part(embeddings, items, documents, part) for part, documents in chosen.items()}
    table = [
        _match(name, m, parts, settings, depth=depth, draws=draws, device=options.device)
        for m in rows
        for name in matchers
    ]
    return MatchReport(
        model=retriever.name,
        revision=revision_of(retriever.recipe),
        data=items.name,
        data_sha256=items.sha256,
        queries={part: len(pairs.queries) for part, pairs in parts.items()},
        documents={part: len(pairs.documents) for part, pairs in parts.items()},
        left_out=items.left_out,
        in_domain=items.in_domain(retriever.training_sources),
        settings=asdict(settings) | {"depth": depth, "draws": draws},
        rows=table,
        provenance=describe_run(
            command=command_line(sys.argv[1:]), device=options.device, seed=settings.seed
        ).model_dump(),
    )


def _split(documents: int, seed: int) -> dict[str, Tensor]:
    """Return which documents are of train, dev and test."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(documents))
    dev, test = round(DEV_SHARE * documents), round(TEST_SHARE * documents)
    return {"train": order[dev + test :], "dev": order[:dev], "test": order[dev : dev + test]}


def _part(embeddings: ItemEmbeddings, items: KnownItems, documents: Tensor, part: str) -> EmbeddedPairs:
    """Return the pairs whose documents are these.

    All embeddings are scaled alike, so that a document's numbers have a mean square of about 1: the paper's
    matcher reads states, which have no unit length.
    """
    new_places = torch.full((len(items.documents),), -1)
    new_places[documents] = torch.arange(len(documents))
    positives = new_places[torch.from_numpy(items.positives)]
    if not (positives >= 0).any():
        raise InputError(f"{items.name}: no query looks for a document of its {part} part; give more pairs")
    scale = embeddings.documents.shape[1] ** 0.5 / embeddings.documents.norm(dim=1).mean()
    return EmbeddedPairs(
        queries=embeddings.queries[positives >= 0] * scale,
        documents=embeddings.documents[documents] * scale,
        positives=positives[positives >= 0],
    )


def _match(
    name: str,
    rows: int,
    parts: Mapping[str, EmbeddedPairs],
    settings: MatcherSettings,
    *,
    depth: int,
    draws: int,
    device: str,
) -> MatchRow:
    """Train, where there is something to train, and score one matcher."""
    parameters, training = 0, None
    test = parts["test"]
    if name in TRAINED:
        width = test.queries.shape[1]
        network = BlockMatcher(TRAINED[name], width=width, rows=rows, depth=depth, seed=settings.seed)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        training = asdict(
            train_matcher(
                network, parts["train"], parts["dev"], rows, settings, device=device,
                told=lambda epoch: say(
                    f"{name} m={rows}: epoch {epoch.number}, train {epoch.train:.3f}, dev {epoch.dev:.3f}"
                ),
            )
        )  # fmt: skip
        matcher: SetMatcher = network
    else:
        matcher = UNTRAINED[name]()
    scores = score_matcher(matcher, test, rows, draws=draws, seed=settings.seed + 1, device=device)
    ranks = rerank(matcher, test, rows, seed=settings.seed + 1, device=device)
    clusters = test.positives.numpy()
    return MatchRow(
        rows=rows,
        matcher=name,
        parameters=parameters,
        sets=estimates({"cross_entropy": scores.cross_entropy, "top1": scores.top1}, clusters),
        reranked=estimates(rank_scores(ranks), clusters),
        training=training,
    )
