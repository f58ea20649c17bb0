"""`mixbench match`: set matchers on a model's frozen embeddings, the paper's first retrieval protocol."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from mixbench.errors import InputError, UnknownName
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.estimates import estimates
from mixbench.experiments.evaluating import Places
from mixbench.experiments.item_scorers import ItemEmbeddings, embed, open_for
from mixbench.experiments.known_items import KnownItems
from mixbench.experiments.lineage import command_line
from mixbench.experiments.matching_report import MatchReport, MatchRow
from mixbench.experiments.progress import say
from mixbench.experiments.systems import EncoderOptions
from mixbench.models.mixer import Block
from mixbench.models.mixer_config import MixerConfig
from mixbench.probes.learning import shift_and_scale
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
from mixbench.probes.matcher_training import Epoch, MatcherSettings, train_matcher
from mixbench.probes.ranks import rank_scores
from mixbench.results import revision_of
from mixbench.retrievers import Retriever


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
    standardise: bool = False,
) -> MatchReport:
    """Train and score matchers on the embeddings that `model` has of `items`, in sets of `rows` each.

    A tenth of the documents, with their queries, choose the epoch, and a fifth are tested on. `draws` sets
    are scored for each test query. `standardise` as in `embedded_parts`.

    Raises:
        InputError: a system without embeddings, or too few documents for a set.
        UnknownName: there is no such matcher.
        MixbenchError: an embedding or a loss is no number.
    """
    for name in matchers:
        if name not in MATCHERS:
            raise UnknownName.of("matcher", name, MATCHERS)
    retriever = open_for(model, items, places, options)
    parts = embedded_parts(retriever, items, rows, settings.seed, standardise=standardise)
    scored = [
        _match(name, m, parts, settings, depth, draws, options.device) for m in rows for name in matchers
    ]
    command = command_line(sys.argv[1:])
    return MatchReport(
        model=retriever.name,
        revision=revision_of(retriever.recipe),
        data=items.name,
        data_sha256=items.sha256,
        queries={part: len(pairs.queries) for part, pairs in parts.items()},
        documents={part: len(pairs.documents) for part, pairs in parts.items()},
        left_out=items.left_out,
        in_domain=items.in_domain(retriever.training_sources),
        settings=asdict(settings) | {"depth": depth, "draws": draws, "standardise": standardise},
        rows=scored,
        provenance=describe_run(command=command, device=options.device, seed=settings.seed).model_dump(),
    )


def embedded_parts(
    retriever: Retriever, items: KnownItems, rows: Sequence[int], seed: int, *, standardise: bool = False
) -> dict[str, EmbeddedPairs]:
    """Return embedded pairs of train, dev and test, of which no two share a document.

    All embeddings are scaled alike, so that a document's numbers have a mean square of about 1: the paper's
    matcher reads states, which have no unit length. With `standardise` each dimension is shifted and scaled
    to mean 0 and deviation 1 over the documents of train, so that what all texts share hides nothing.

    Raises InputError where a set of `rows` wants more documents than one of them has, and as `embed`.
    """
    count = len(items.documents)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    dev, test = round(DEV_SHARE * count), round(TEST_SHARE * count)
    chosen = {"train": order[dev + test :], "dev": order[:dev], "test": order[dev : dev + test]}
    for m in rows:
        check_rows(m, min(map(len, chosen.values())))
    embeddings = embed(retriever, items)
    documents_Dd = embeddings.documents
    shift, scale = torch.zeros(1), documents_Dd.shape[1] ** 0.5 / documents_Dd.norm(dim=1).mean()
    if standardise:
        shift, scale = shift_and_scale(documents_Dd[chosen["train"]])
    scaled = embeddings._replace(
        queries=(embeddings.queries - shift) * scale, documents=(documents_Dd - shift) * scale
    )
    return {part: _part(scaled, items, documents, part) for part, documents in chosen.items()}


def _part(embeddings: ItemEmbeddings, items: KnownItems, documents: Tensor, part: str) -> EmbeddedPairs:
    """Return the pairs whose documents are these."""
    new_places = torch.full((len(items.documents),), -1)
    new_places[documents] = torch.arange(len(documents))
    positives = new_places[torch.from_numpy(items.positives)]
    if not (positives >= 0).any():
        raise InputError(f"{items.name}: no query looks for a document of its {part} part; give more pairs")
    return EmbeddedPairs(
        queries=embeddings.queries[positives >= 0],
        documents=embeddings.documents[documents],
        positives=positives[positives >= 0],
    )


def _match(
    name: str,
    rows: int,
    parts: Mapping[str, EmbeddedPairs],
    settings: MatcherSettings,
    depth: int,
    draws: int,
    device: str,
) -> MatchRow:
    """Train a matcher, where there is something to train, and score it on the test part."""
    test = parts["test"]
    parameters, training = 0, None
    if name in TRAINED:
        width = test.queries.shape[1]
        network = BlockMatcher(TRAINED[name], width=width, rows=rows, depth=depth, seed=settings.seed)
        parameters = sum(parameter.numel() for parameter in network.parameters())

        def tell(epoch: Epoch) -> None:
            say(f"{name} m={rows}: epoch {epoch.number}, train {epoch.train:.3f}, dev {epoch.dev:.3f}")

        trained = train_matcher(
            network, parts["train"], parts["dev"], rows, settings, device=device, told=tell
        )
        training = asdict(trained)
        matcher: SetMatcher = network
    else:
        matcher = UNTRAINED[name]()
    scores = score_matcher(matcher, test, rows, draws=draws, seed=settings.seed, device=device)
    ranks = rerank(matcher, test, rows, seed=settings.seed, device=device)
    clusters = test.positives.numpy()
    return MatchRow(
        rows=rows,
        matcher=name,
        parameters=parameters,
        sets=estimates({"cross_entropy": scores.cross_entropy, "top1": scores.top1}, clusters),
        reranked=estimates(rank_scores(ranks), clusters),
        training=training,
    )
