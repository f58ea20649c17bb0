"""From vectors back to tokens: by the nearest embedding, and by the pseudo-inverse of the embedding matrix.

Shapes: N vectors, d width, V vocabulary, k candidates. The pseudo-inverse reads a vector as a weighted sum of
all embeddings and takes the largest weights. It is that of arXiv 2409.01482; where V > d it can prefer
another token to the one whose embedding the vector is, so the nearest embedding stands beside it.
"""

import torch
from torch import Tensor


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


def _best(scores_NV: Tensor, k: int) -> Tensor:
    return scores_NV.topk(min(k, scores_NV.shape[1]), 1).indices
