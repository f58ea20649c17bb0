"""From vectors back to tokens: by the nearest embedding, and by the pseudo-inverse of the embedding matrix.

Shapes: N vectors or T tokens, d width, V vocabulary, K candidates. The pseudo-inverse reads a vector as a
weighted sum of all embeddings and takes the largest weights. It is that of arXiv 2409.01482; where V > d it
can prefer another token to the one whose embedding the vector is, so the nearest embedding stands beside it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TOP = 5
"""Candidates of a token, any of which counts as found."""


class Decoder:
    """The tokens that vectors stand for; `embedding_Vd` (V, d) has a row a token."""

    def __init__(self, embedding_Vd: Tensor) -> None:
        self.embedding_Vd = embedding_Vd.detach()
        # E+ = (E^T E)+ E^T, in double precision, since the product squares the condition number.
        wide_Vd = self.embedding_Vd.double().cpu()
        inverse_dV = torch.linalg.pinv(wide_Vd.T @ wide_Vd, hermitian=True) @ wide_Vd.T
        self.inverse_dV = inverse_dV.to(self.embedding_Vd)
        self.squares_V = self.embedding_Vd.square().sum(1)

    def nearest(self, vectors_Nd: Tensor, k: int) -> Tensor:
        """Return the ids (N, k) of the nearest embeddings by Euclidean distance, nearest first."""
        closeness_NV: Tensor = 2 * vectors_Nd @ self.embedding_Vd.T - self.squares_V
        return _best(closeness_NV, k)

    def weighted(self, vectors_Nd: Tensor, k: int) -> Tensor:
        """Return the ids (N, k) of the largest weights by the pseudo-inverse, largest first."""
        weights_NV: Tensor = vectors_Nd @ self.inverse_dV
        return _best(weights_NV, k)


@dataclass(frozen=True, kw_only=True)
class TextInversion:
    """What was found of one text. Shares are of the tokens looked for, 0 to 1.

    `ham` and `weighted_top1` judge the pseudo-inverse's candidates by the form's reference tokens; `top1` and
    `top5` judge the nearest embeddings by the true tokens.
    """

    ham: float
    """Share of tokens that no candidate of five is: the paper's normalised Hamming distance."""
    weighted_top1: float
    top1: float
    top5: float
    loss: float
    """At the end, as the form counts it."""
    noise_loss: float
    """Of the true embeddings with the form's noise: a search that worked ends below it."""


def judge(
    decoder: Decoder,
    found_Td: Tensor,
    ids_T: Tensor,
    reference_T: Tensor,
    loss: float,
    noise_loss: float,
    *,
    pad: int | None = None,
) -> TextInversion:
    """Return how many of the tokens `ids_T` the vectors `found_Td` (T, d) stand for.

    The pseudo-inverse's are held to `reference_T`, of which those that are `pad` are not counted.
    """
    counted_T = torch.ones_like(reference_T, dtype=torch.bool) if pad is None else reference_T != pad
    by_weight_TK = decoder.weighted(found_Td, TOP) == reference_T[:, None]
    by_distance_TK = decoder.nearest(found_Td, TOP) == ids_T[:, None]
    counted = max(1, int(counted_T.sum()))
    return TextInversion(
        ham=int((counted_T & ~by_weight_TK.any(1)).sum()) / counted,
        weighted_top1=int((counted_T & by_weight_TK[:, 0]).sum()) / counted,
        top1=int(by_distance_TK[:, 0].sum()) / len(ids_T),
        top5=int(by_distance_TK.sum()) / len(ids_T),
        loss=loss,
        noise_loss=noise_loss,
    )


def _best(scores_NV: Tensor, k: int) -> Tensor:
    return scores_NV.topk(min(k, scores_NV.shape[1]), 1).indices
