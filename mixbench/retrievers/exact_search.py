"""Exact search on a CPU in bounded memory: quick products choose candidates, and those are scored exactly.

An exact score is that of `topk`: the dot product summed in float64, rounded once to float32. A float32
product of D terms, in whatever order they are summed, lies within D u / (1 - D u) |q||d| of it, u = 2^-24
(Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). What this bound cannot exclude from
the k best is scored exactly. So results are those of exact scores for all, ties included. Large searches on
processors that multiply bfloat16 faster first try with that, whose bound is wider: where scores are so close
that it would leave too many candidates, float32 chooses them.

Documents are read a few thousand at a time from a sequence of shards, which need not fit in memory: tensors,
or arrays mapped from files. Each thread takes the next of them.

Shapes: Q queries, N documents read at once, D dimensions, K results, C candidates.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixbench.retrievers.shards import Extent, Part, Shard, extent_of, parts_of, read, read_rows
from mixbench.retrievers.shortlist import Floats32, Ints, Shortlist, bounds_of
from mixbench.retrievers.threads import thread_pool
from mixbench.retrievers.topk import search_chunks

MEMORY = 2**30
"""Bytes that a search may take, the results aside."""
QUERIES = 1_024
"""Queries searched at once."""
CELLS = 2**19
"""Scores that a thread computes at once."""
FLOATS = 2**21
"""Numbers of documents that a thread holds at once."""
FIXED_BYTES = 2**25
"""Bytes that a thread takes for documents, scores and products."""
CANDIDATE_BYTES = 96
"""Bytes that a candidate takes while all are sorted; a thread sorts up to twice as many as are asked for."""
DOUBLES = 2**18
"""Numbers of documents that a thread scores exactly at once."""
COARSE_QUERIES = 256
"""Queries from which on bfloat16 products are worth rounding the documents."""
COARSE_DOCUMENTS = 400
"""Documents, for each that is to be found, from which on they are worth scoring more candidates."""
COARSE_ROOM = 4
"""As `_Products.room`: the wider bound keeps more candidates."""
COARSE_ROUNDING = 1.02 * 2**-8
"""At most, of a number's own size, by which it changes when it is rounded to bfloat16; and a little more."""
LARGEST = 1e36
"""Lengths' product up to which no float32 score overflows."""

Doubles = NDArray[np.float64]


def search_shards(
    queries_QD: Tensor,
    shards: Sequence[Shard],
    k: int,
    *,
    extent: Extent | None = None,
    memory: int = MEMORY,
) -> tuple[Tensor, Tensor]:
    """Return the scores (Q, K) float32 and the positions (Q, K) int64 of the best documents, best first.

    Positions count through the shards; of equal scores the lowest comes first. `queries_QD`, float32 on the
    CPU, holds at least one query. `extent` is that of the shards; None reads all of them for it. So many
    threads are used, and queries taken at a time, that a search keeps to about `memory` bytes, but at least
    one.
    """
    extent = extent_of(shards) if extent is None else extent
    lengths_Q = torch.linalg.vector_norm(queries_QD.double(), dim=1).numpy()
    if lengths_Q.max() * extent.length > LARGEST or torch.get_float32_matmul_precision() != "highest":
        return search_chunks(queries_QD, read(parts_of(shards, FLOATS // queries_QD.shape[1])), k)
    k = min(k, sum(map(len, shards)))
    threads = min(torch.get_num_threads(), max(1, memory // (2 * FIXED_BYTES)))
    rows = min(QUERIES, max(1, (memory // threads - FIXED_BYTES) // (2 * k * CANDIDATE_BYTES)))
    found = [
        _search(queries_QD[start : start + rows], extent, shards, k, threads, memory)
        for start in range(0, len(queries_QD), rows)
    ]
    return torch.cat([scores for scores, _ in found]), torch.cat([positions for _, positions in found])


@dataclass(frozen=True, kw_only=True)
class _Products:
    """Queries (Q, D) in the precision of their products, and how far these may be wrong."""

    queries_QD: Tensor
    margins_Q: Floats32
    rounding: float = 0.0
    """Share of a product by which it was rounded at the end, beside its margin."""
    room: int = 2
    """Candidates, of `k` for each query, at which some are sorted out."""


class _TooCloseError(Exception):
    """Products leave too many candidates."""


def _search(
    queries_QD: Tensor, extent: Extent, shards: Sequence[Shard], k: int, threads: int, memory: int
) -> tuple[Tensor, Tensor]:
    many = len(queries_QD) >= COARSE_QUERIES and sum(map(len, shards)) >= COARSE_DOCUMENTS * k
    needed = threads * FIXED_BYTES + COARSE_ROOM * len(queries_QD) * k * CANDIDATE_BYTES
    if many and needed <= memory and multiplies_bfloat16():
        coarse = _coarse(queries_QD, extent)
        with suppress(_TooCloseError):
            if np.isfinite(coarse.margins_Q).all():
                return _Search(queries_QD, coarse, shards, k).run(threads)
    return _Search(queries_QD, _fine(queries_QD, extent), shards, k).run(threads)


@cache
def multiplies_bfloat16() -> bool:
    """Return whether this processor has instructions for it, which torch is built to use."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    instructions = known.get("avx512_bf16") or known.get("amx_bf16")
    return bool(torch.backends.mkldnn.enabled and instructions)


class _Search:
    """The search of some queries."""

    def __init__(self, queries_QD: Tensor, products: _Products, shards: Sequence[Shard], k: int) -> None:
        self.queries_QD = queries_QD
        self.products = products
        self.shards = shards
        self.k = k
        self.starts = np.cumsum([0, *map(len, shards)])

    def run(self, threads: int) -> tuple[Tensor, Tensor]:
        """Return scores (Q, K) and positions (Q, K), best first."""
        count, dimension = self.queries_QD.shape
        parts = list(parts_of(self.shards, max(1, min(CELLS // count, FLOATS // dimension))))
        threads = min(threads, len(parts))
        with thread_pool(threads) as pool:
            chosen = self.products
            candidates = Shortlist(chosen.margins_Q, self.k, rounding=chosen.rounding, room=chosen.room)
            for _ in pool.map(self._collect, [candidates] * threads, [iter(parts)] * threads):
                pass  # what a thread raises comes here
            candidates.prune()
            rows_C, positions_C, _ = candidates.take()
            best = list(pool.map(self._best, range(count), np.split(positions_C, bounds_of(rows_C, count))))
        scores_QK, positions_QK = (torch.from_numpy(np.stack(part)) for part in zip(*best, strict=True))
        return scores_QK, positions_QK

    def _collect(self, candidates: Shortlist, parts: Iterator[Part]) -> None:
        """Add those among the documents of the `parts` that this thread comes to take."""
        queries_QD = self.products.queries_QD
        products = torch.empty(max(CELLS, len(queries_QD)), dtype=queries_QD.dtype)
        values = products if products.dtype == torch.float32 else torch.empty(len(products))
        for start, rows_ND in read(parts):
            shape = (len(queries_QD), len(rows_ND))
            products_QN, values_QN = (each[: math.prod(shape)].view(shape) for each in (products, values))
            torch.mm(queries_QD, rows_ND.to(queries_QD.dtype).T, out=products_QN)
            if values is not products:
                values_QN.copy_(products_QN)
            candidates.add(values_QN.numpy(), start)
            if candidates.count > candidates.limit and candidates.prune() > 0.75 * candidates.limit:
                self._settle(candidates)

    def _settle(self, candidates: Shortlist) -> None:
        """Leave the k best by exact scores, where many are too close to tell otherwise.

        Raises _TooCloseError where finer products would tell more of them.
        """
        if self.products.rounding:
            raise _TooCloseError
        rows_C, positions_C, _ = candidates.take()
        for row, own_C in enumerate(np.split(positions_C, bounds_of(rows_C, len(self.queries_QD)))):
            scores_K, positions_K = self._best(row, own_C)
            candidates.keep(np.full(len(scores_K), row, dtype=np.uint16), positions_K, scores_K)

    def _best(self, row: int, positions_C: Ints) -> tuple[Floats32, Ints]:
        """Return the exact scores and the positions of the k best of these documents for a query."""
        positions_C = np.sort(positions_C)
        scores_C = np.concatenate([*self._exact(row, positions_C)])
        order_K = np.argsort(-scores_C, kind="stable")[: self.k]
        return scores_C[order_K], positions_C[order_K]

    def _exact(self, row: int, positions_C: Ints) -> Iterator[Floats32]:
        query_D = self.queries_QD[row].numpy().astype(np.float64)
        size = max(1, DOUBLES // len(query_D))
        doubles_SD = np.empty((min(size, len(positions_C)), len(query_D)))
        for some_S in np.split(positions_C, range(size, len(positions_C), size)):
            rows_SD = doubles_SD[: len(some_S)]
            bounds = np.searchsorted(some_S, self.starts)
            for at in np.flatnonzero(np.diff(bounds)).tolist():
                own = slice(bounds[at], bounds[at + 1])
                rows_SD[own] = read_rows(self.shards[at], some_S[own] - self.starts[at]).numpy()
            # Unlike a product of matrices, this sums each row alike, wherever it stands among the rows.
            yield np.einsum("sd,d->s", rows_SD, query_D).astype(np.float32)


def _fine(queries_QD: Tensor, extent: Extent) -> _Products:
    lengths_Q = torch.linalg.vector_norm(queries_QD.double(), dim=1).numpy()
    margins_Q = _margins(lengths_Q, extent.length, queries_QD.shape[1])
    return _Products(queries_QD=queries_QD, margins_Q=margins_Q.astype(np.float32))


def _coarse(queries_QD: Tensor, extent: Extent) -> _Products:
    """Return products in bfloat16, summed in float32: wrong also by what rounding takes from either side.

    It is measured on both, some .4 of the most that it can be.
    """
    coarse_QD = queries_QD.bfloat16()
    lengths_Q = torch.linalg.vector_norm(coarse_QD.double(), dim=1).numpy()
    lost_Q = torch.linalg.vector_norm(queries_QD.double() - coarse_QD.double(), dim=1).numpy()
    margins_Q = 2 * _margins(lengths_Q + lost_Q, extent.length + extent.lost, queries_QD.shape[1])
    margins_Q += lost_Q * extent.length + lengths_Q * extent.lost
    return _Products(
        queries_QD=coarse_QD,
        margins_Q=(1.001 * margins_Q).astype(np.float32),
        rounding=COARSE_ROUNDING,
        room=COARSE_ROOM,
    )


def _margins(lengths_Q: Doubles, longest: float, dimension: int) -> Doubles:
    """Return how far a float32 score of each query may be from the exact one, and what rounding hides.

    The second term is for what is flushed to zero.
    """
    rounding = dimension * 2**-24 / (1 - dimension * 2**-24)
    relative = 1.001 * (rounding + 2**-22) * lengths_Q * longest
    margins_Q: Doubles = relative + dimension * 2**-120 * (1 + lengths_Q) * (1 + longest)
    return margins_Q
