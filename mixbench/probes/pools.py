"""Retrieval from small pools, the paper's protocol for encoders, and beside it from all documents.

The paper (arXiv 2409.01482; retrieval_benchmark.py of its code) draws for each query n - 1 documents that
are not its positive, without replacement, and puts the positive in the place of one: the positive stands
among n - 2 others, and n counts the query. The share of queries whose positive scores best is top-1 at n.
It is drawn once, so the number has the noise of the draw.

That noise can be left out. Of the N - 1 others let b stand before the positive in the ranking of all
documents. A pool has none of them with probability C(N - 1 - b, n - 2) / C(N - 1, n - 2), which is the
hypergeometric distribution at 0, and the product of (N - 1 - i - (n - 2)) / (N - 1 - i) for i below b.
`exact_top1` is that, and what draws average to.

Shapes: Q queries, N documents, P pool sizes, S seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixbench.errors import InputError
from mixbench.probes.ranks import Floats, Ints, beaten_by, check_positives
from mixbench.probes.scorers import Scorer

POOLS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""The paper's sizes."""
BLOCK_CELLS = 2**22
"""Scores held at once; at least those of one query are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolScores:
    """What each query found: in pools that were drawn, and among all documents."""

    pools: tuple[int, ...]
    """Sizes, each the query and the candidates together, as the paper counts."""
    documents: int
    ranks: Ints
    """(Q,) rank of the positive among all documents, from 1."""
    drawn: NDArray[np.bool_]
    """(S, Q, P) whether the positive was best in the pool that a seed drew. Pools of a seed are nested."""

    @property
    def exact(self) -> Floats:
        """(Q, P) the probability of that over all pools that could be drawn."""
        return exact_top1(self.ranks, self.documents, self.pools)


def score_pools(
    scorer: Scorer,
    positives: Tensor,
    pools: Sequence[int] = POOLS,
    *,
    seeds: Sequence[int] = (0,),
    block_cells: int = BLOCK_CELLS,
) -> PoolScores:
    """Return how `scorer` does in pools and among all documents.

    Args:
        scorer: knows the queries and the documents.
        positives: position (Q,) of the one relevant document of each query.
        pools: sizes n, the query counted.
        seeds: each draws one pool of each size for each query; the same seed draws the same pools for every
            scorer of as many queries and documents, on every device. May be empty.
        block_cells: scores held at once.

    Raises:
        InputError: a pool is larger than the documents, or a query has no positive among them.
        MixbenchError: a score is NaN.
    """
    check_positives(positives, scorer.queries, scorer.documents)
    check_pools(pools, scorer.documents)
    generators = [np.random.default_rng(seed) for seed in seeds]
    others = torch.tensor([n - 2 for n in pools])
    rows = max(1, block_cells // scorer.documents)
    ranks: list[Tensor] = []
    drawn: list[Tensor] = []
    for start in range(0, scorer.queries, rows):
        scores_QN = scorer.block(start, min(start + rows, scorer.queries))
        positives_Q = positives[start : start + rows].to(scores_QN.device)
        beaten_QN = beaten_by(scores_QN, positives_Q)
        ranks.append(1 + beaten_QN.sum(dim=1).cpu())
        won_SQP = torch.empty(len(generators), len(positives_Q), len(pools), dtype=torch.bool)
        for seed, rng in enumerate(generators):
            won_SQP[seed] = _drawn_before_beaten(beaten_QN, positives_Q, rng)[:, None] >= others
        drawn.append(won_SQP)
    return PoolScores(
        pools=tuple(pools),
        documents=scorer.documents,
        ranks=torch.cat(ranks).numpy(),
        drawn=torch.cat(drawn, dim=1).numpy(),
    )


def exact_top1(ranks: Ints, documents: int, pools: Sequence[int]) -> Floats:
    """Return the probability (Q, P) that a random pool has nothing that stands before the positive.

    `ranks` (Q,) are those of the positives among all `documents`, from 1. Raises InputError for a pool that
    is larger than the documents.
    """
    check_pools(pools, documents)
    left_N = np.arange(
        documents - 1, 0, -1
    )  # documents that are left when 0, 1, ... of those before are placed
    columns = []
    for n in pools:
        outside_N = np.maximum(left_N - (n - 2), 0) / left_N
        columns.append(np.concatenate([[1.0], np.cumprod(outside_N)])[ranks - 1])
    return np.stack(columns, axis=1)


def check_pools(pools: Sequence[int], documents: int) -> None:
    """Raise InputError for a pool size that the documents do not fill, or that leaves no choice."""
    if not pools:
        raise InputError("no pool size; give at least one, as 32")
    for n in pools:
        if not 3 <= n <= documents + 1:
            raise InputError(
                f"a pool of {n} is the query and {n - 1} of {documents} documents;"
                f" give a size from 3 to {documents + 1}"
            )


def _drawn_before_beaten(beaten_QN: Tensor, positives_Q: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw other documents one by one; return (Q,) how many came before the first that beats the positive.

    Documents are drawn in the order of random keys, so that a pool of n has the n - 2 others with the lowest.
    """
    keys_QN = torch.from_numpy(rng.random(tuple(beaten_QN.shape))).to(beaten_QN.device)
    keys_QN.scatter_(1, positives_Q[:, None], torch.inf)
    first_Q1 = keys_QN.masked_fill(~beaten_QN, torch.inf).amin(dim=1, keepdim=True)
    return (keys_QN < first_Q1).sum(dim=1).cpu()
