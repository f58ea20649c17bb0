"""Exact top-k search over embeddings, in memory bounded by one chunk of documents and one block of queries.

A score is a dot product summed in float64 and rounded once to float32: the order of summation, which varies
with the chunk, the threads and the place of a document in them, drowns in the rounding. So equal embeddings
get equal scores. Equal scores rank by position, lowest first; a corpus in descending order of doc_id thus
gets the order of trec_eval. `torch.topk` alone returns any of the documents that tie at the boundary.

Shapes: Q queries, N columns (documents) of one chunk, D dimensions, K results.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

BLOCK_CELLS = 2**23
"""Scores held at once, in one block of queries by one chunk: 64 MiB of float64."""


class TopK:
    """The best K columns of score matrices that arrive chunk by chunk, in ascending position."""

    def __init__(self, k: int) -> None:
        self.k = k
        self._next_position = 0
        self._scores_QK: Tensor | None = None
        self._positions_QK: Tensor | None = None

    def add(self, scores_QN: Tensor, start: int) -> None:
        """Merge float32 scores of the documents at positions `start`, `start` + 1, and so on."""
        assert start >= self._next_position, "chunks arrive in ascending position"
        self._next_position = start + scores_QN.shape[1]
        columns_QK = best_columns(scores_QN, self.k)
        scores_QK, positions_QK = scores_QN.gather(1, columns_QK), columns_QK + start
        if self._scores_QK is not None and self._positions_QK is not None:
            # Earlier positions stay to the left, so that the lowest column is still the lowest position.
            scores_QK = torch.cat([self._scores_QK, scores_QK], dim=1)
            positions_QK = torch.cat([self._positions_QK, positions_QK], dim=1)
            columns_QK = best_columns(scores_QK, self.k)
            scores_QK, positions_QK = scores_QK.gather(1, columns_QK), positions_QK.gather(1, columns_QK)
        self._scores_QK, self._positions_QK = scores_QK, positions_QK

    def result(self) -> tuple[Tensor, Tensor]:
        """Return scores (Q, K), best first, and positions (Q, K); K is smaller where documents are fewer."""
        assert self._scores_QK is not None, "at least one chunk was added"
        assert self._positions_QK is not None
        return self._scores_QK, self._positions_QK


def best_columns(scores_QN: Tensor, k: int) -> Tensor:
    """Return the columns (Q, min(k, N)) of the highest scores, by score descending, then column ascending."""
    count = scores_QN.shape[1]
    if k >= count:
        columns = torch.arange(count, device=scores_QN.device).expand(scores_QN.shape[0], count)
    else:
        values, columns = torch.topk(scores_QN, k + 1, dim=1)
        tied = (values[:, k] == values[:, k - 1]).nonzero().squeeze(1)
        columns = columns[:, :k]
        if tied.numel():
            columns[tied] = _lowest_columns(scores_QN[tied], values[tied, k - 1], k)
        columns = columns.sort(dim=1).values
    # Adding 0.0 turns -0.0 into 0.0: equal numbers, but not to every sorting algorithm.
    order = (scores_QN.gather(1, columns) + 0.0).sort(dim=1, descending=True, stable=True).indices
    return columns.gather(1, order)


def search_chunks(
    queries_QD: Tensor, chunks: Iterable[tuple[int, Tensor]], k: int, *, block_cells: int = BLOCK_CELLS
) -> tuple[Tensor, Tensor]:
    """Return the scores (Q, K) float32 and the positions (Q, K) int64 of the best documents, best first.

    `queries_QD` holds at least one query. Each chunk is the position of its first document and a float32
    tensor (N, D); chunks come in ascending position. Work is done on the device of `queries_QD`, to which
    each chunk is moved. A block of queries is as large as keeps it within `block_cells` scores.
    """
    queries_QD = queries_QD.double()
    best: list[TopK] = []
    rows = 0
    for start, chunk_ND in chunks:
        if not best:
            rows = max(1, block_cells // max(1, chunk_ND.shape[0]))
            best = [TopK(k) for _ in range(0, len(queries_QD), rows)]
        chunk_DN = chunk_ND.to(queries_QD.device).double().T
        for block, top in enumerate(best):
            block_QD = queries_QD[block * rows : (block + 1) * rows]
            top.add((block_QD @ chunk_DN).float(), start)
    results = [top.result() for top in best]
    return torch.cat([scores for scores, _ in results]), torch.cat([positions for _, positions in results])


def _lowest_columns(scores_RN: Tensor, threshold_R: Tensor, k: int) -> Tensor:
    """Return the columns (R, k) above the threshold, and as many at it, lowest first, as make k."""
    above = scores_RN > threshold_R[:, None]
    equal = scores_RN == threshold_R[:, None]
    wanted = k - above.sum(dim=1, keepdim=True)
    kept = above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= wanted))
    return kept.nonzero()[:, 1].view(-1, k)
