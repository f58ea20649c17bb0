"""What a set matcher is worth on pairs that it was not trained on: in drawn sets, and as a reranker.

Shapes: P pairs, D documents, B sets, m rows, C = m - 1 candidates.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixbench.errors import MixbenchError
from mixbench.probes.matcher import SetMatcher, check_rows
from mixbench.probes.matcher_sets import EmbeddedPairs, drawn_batches
from mixbench.probes.ranks import Floats, Ints, beaten_by
from mixbench.probes.scorers import EmbeddingScorer
from mixbench.retrievers.topk import best_columns

BATCH_SIZE = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchScores:
    """Of each query, the mean over the sets that were drawn for it."""

    cross_entropy: Floats
    """(P,) in nats; chance is ln(m - 1)"""
    top1: Floats
    """(P,) share of its sets in which the match had the highest number"""


@torch.no_grad()
def score_matcher(
    matcher: SetMatcher,
    pairs: EmbeddedPairs,
    rows: int,
    *,
    draws: int = 1,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = BATCH_SIZE,
) -> MatchScores:
    """Return how well `matcher` finds the match in sets of `rows`, `draws` of them for each query.

    The same seed draws the same sets for every matcher, on one kind of device.

    Raises:
        InputError: a set is larger than the documents.
        MixbenchError: the matcher gives NaN.
    """
    check_rows(rows, len(pairs.documents))
    pairs = pairs.to(device)
    generator = torch.Generator(device=device).manual_seed(seed)
    losses, hits = [], []
    for _ in range(draws):
        for sets_Bmd, match_B in drawn_batches(pairs, rows, batch_size, generator, shuffle=False):
            numbers_BC = _numbers(matcher, sets_Bmd)
            losses.append(torch.nn.functional.cross_entropy(numbers_BC, match_B, reduction="none"))
            hits.append(numbers_BC.argmax(dim=1) == match_B)
    count = len(pairs.queries)
    return MatchScores(
        cross_entropy=torch.cat(losses).cpu().view(draws, count).double().mean(dim=0).numpy(),
        top1=torch.cat(hits).cpu().view(draws, count).double().mean(dim=0).numpy(),
    )


@torch.no_grad()
def rerank(
    matcher: SetMatcher,
    pairs: EmbeddedPairs,
    rows: int,
    *,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = BATCH_SIZE,
) -> Ints:
    """Return the rank (P,) of each query's match among all documents, from 1.

    The m - 1 best documents by cosine are one set, in random order, and ranked by the matcher, equal numbers
    by cosine. A match that is not among them keeps its rank by cosine.

    Raises:
        InputError: a set is larger than the documents.
        MixbenchError: the matcher gives NaN.
    """
    check_rows(rows, len(pairs.documents))
    pairs = pairs.to(device)
    cosine = EmbeddingScorer(pairs.queries, pairs.documents, device=device)
    generator = torch.Generator(device=device).manual_seed(seed)
    ranks = []
    for start in range(0, len(pairs.queries), batch_size):
        chosen_B = torch.arange(start, min(start + batch_size, len(pairs.queries)), device=device)
        scores_BD = cosine.block(start, start + batch_size).to(device)
        positives_B = pairs.positives[chosen_B]
        by_cosine_B = 1 + beaten_by(scores_BD, positives_B).sum(dim=1)
        best_BC = best_columns(scores_BD, rows - 1)
        shuffled_BC = torch.rand(best_BC.shape, generator=generator, device=device).argsort(dim=1)
        numbers_BC = _numbers(matcher, pairs.sets(chosen_B, best_BC.gather(1, shuffled_BC)))
        in_order_BC = torch.empty_like(numbers_BC).scatter(1, shuffled_BC, numbers_BC)
        place_B = (by_cosine_B - 1).clamp(max=rows - 2)
        by_matcher_B = 1 + beaten_by(in_order_BC, place_B).sum(dim=1)
        ranks.append(torch.where(by_cosine_B < rows, by_matcher_B, by_cosine_B))
    return torch.cat(ranks).cpu().numpy()


def _numbers(matcher: SetMatcher, sets_Bmd: Tensor) -> Tensor:
    numbers_BC = matcher(sets_Bmd).float()
    if not torch.isfinite(numbers_BC).all():
        raise MixbenchError("the matcher gives NaN or infinite numbers; train it with a lower learning rate")
    return numbers_BC
