"""Ranks of the one relevant document of each query, and the scores that follow from them.

Shapes: Q queries, N documents.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixbench.errors import InputError, MixbenchError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def beaten_by(scores_QN: Tensor, positives_Q: Tensor) -> Tensor:
    """Tell (Q, N) which documents stand before the positive of each query.

    Those are the documents with a higher score, and of equal ones those at a lower position. A positive that
    scores minus infinity is not ranked: all others stand before it. Raises MixbenchError for NaN.
    """
    if torch.isnan(scores_QN).any():
        row = int(torch.isnan(scores_QN).any(dim=1).nonzero()[0])
        raise MixbenchError(f"the scores of query {row} of a block hold NaN; check what scores them")
    own_Q1 = scores_QN.gather(1, positives_Q[:, None])
    positions_N = torch.arange(scores_QN.shape[1], device=scores_QN.device)
    earlier_QN = (scores_QN == own_Q1) & (positions_N < positives_Q[:, None])
    others_QN = positions_N != positives_Q[:, None]
    return (scores_QN > own_Q1) | earlier_QN | (torch.isneginf(own_Q1) & others_QN)


def rank_scores(ranks: Ints) -> dict[str, Floats]:
    """Return top-1 accuracy, MRR@10 and nDCG@10 of each query from the `ranks` (Q,) of its one positive."""
    found = ranks <= 10
    return {
        "top1": (ranks == 1).astype(float),
        "mrr_at_10": np.where(found, 1 / ranks, 0.0),
        "ndcg_at_10": np.where(found, 1 / np.log2(ranks + 1), 0.0),
    }


def check_positives(positives: Tensor, queries: int, documents: int) -> None:
    """Raise InputError unless each query has one positive, and that one of the documents."""
    if documents < 2:
        raise InputError(f"{documents} document: nothing to tell the positive from; give at least 2")
    if queries < 1:
        raise InputError("no query: there is nothing to score; give at least 1")
    if positives.shape != (queries,):
        raise InputError(f"{queries} queries and positives of shape {tuple(positives.shape)}; give one each")
    wrong = ((positives < 0) | (positives >= documents)).nonzero().squeeze(1).tolist()
    if wrong:
        raise InputError(
            f"query {wrong[0]} has no positive: position {int(positives[wrong[0]])} is none of the"
            f" {documents} documents"
        )
