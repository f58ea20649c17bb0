"""An index of embeddings: what every encoder needs to rank documents, whoever computes the embeddings.

Embeddings are cut to their first dimensions where that is asked for, then normalised where the similarity is
cosine, and kept on the CPU as float32 or smaller (`precision.py`). They are in descending order of doc_id, so
that the lowest position wins a tie as trec_eval has it. With a budget of memory they are in a file that is
mapped: rankings and scores are the same, bit for bit.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mixbench.data import Document, in_order
from mixbench.errors import InputError, MixbenchError
from mixbench.retrievers.exact_search import MEMORY, search_shards
from mixbench.retrievers.precision import PRECISIONS, Stored, checked_precision
from mixbench.retrievers.protocol import Ranking
from mixbench.retrievers.shards import extent_of, parts_of, read
from mixbench.retrievers.topk import search_chunks

ENCODED_COPIES = 8
"""Copies of embeddings in float32 that there are at most, while they are encoded, kept and prepared."""
NUMBERS_NORMALISED = 2**19
READ_COPIES = 4
"""Copies of those that are read for a search on a GPU."""


class EmbeddingIndex:
    """Embeddings of a corpus and their exact search, by "cosine" or "dot" product.

    `name` is the model's, for errors. `chunk_size` documents are encoded, and scored, at a time.
    `truncate_dim` keeps the first dimensions of queries and documents; `precision` is that of the documents.
    `memory` is how many bytes indexing and search may take for embeddings, which then are in a file; None
    holds all of them in memory. Raises UnknownName for a precision that there is not.
    """

    def __init__(
        self,
        name: str,
        similarity: str,
        chunk_size: int,
        *,
        truncate_dim: int | None = None,
        precision: str = "float32",
        memory: int | None = None,
    ) -> None:
        self.name = name
        self.similarity = similarity
        self.chunk_size = chunk_size
        self.truncate_dim = truncate_dim
        self.precision = checked_precision(precision)
        self.memory = memory
        self.documents: Sequence[Document] = ()
        self._doc_ids = np.array([], dtype=object)
        self._stored: Stored | None = None
        self._longest = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings as they are held."""
        return 0 if self._stored is None else self._stored.nbytes

    def check_memory(self, documents: int, dimension: int) -> None:
        """Raise InputError where the budget is too small to encode so many `documents` at once."""
        needed = ENCODED_COPIES * 4 * documents * dimension
        if self.memory is not None and needed > self.memory:
            raise InputError(
                f"model {self.name!r}: {documents} documents are encoded at once, for which a memory of"
                f" {self.memory:,} bytes is too little; give {needed:,} or more, or a smaller batch"
            )

    def fill(
        self,
        corpus: Sequence[Document],
        encode: Callable[[Sequence[Document]], Tensor],
        *,
        at_once: int | None = None,
    ) -> None:
        """Replace the index by one of `corpus`; `encode` gives embeddings (documents, dimension).

        It is asked for at most `at_once` documents, counted anew in each chunk; of None for whole chunks.
        Raises InputError for an empty corpus or embeddings that are too short to be cut, MixbenchError where
        an embedding holds NaN or infinity.
        """
        if not corpus:
            raise InputError(f"model {self.name!r} was given an empty corpus; it needs at least one document")
        self.documents, self._stored = (), None
        documents = in_order(corpus, reverse=True)
        encoded = self._encoded(documents, encode, at_once or self.chunk_size)
        on_disk = self.memory is not None
        self._stored = PRECISIONS[self.precision](encoded, len(documents), on_disk=on_disk)
        self._extent = extent_of([self._stored])
        self._doc_ids = np.array([document.doc_id for document in documents], dtype=object)
        self.documents = documents

    def _encoded(
        self, documents: Sequence[Document], encode: Callable[[Sequence[Document]], Tensor], at_once: int
    ) -> Iterator[Tensor]:
        for chunk in runs_of(documents, self.chunk_size):
            for some in runs_of(chunk, at_once):
                some_ND = self._prepared(encode(some))
                for row in _rows_not_finite(some_ND):
                    raise MixbenchError(
                        f"model {self.name!r}: the embedding of document {some[row].doc_id!r} {NOT_FINITE}"
                    )
                yield some_ND

    def search(
        self, queries: Sequence[str], k: int, encode: Callable[[Sequence[str]], Tensor]
    ) -> list[Ranking]:
        """Return the `k` best documents of each query, all where there are fewer; on the device of `encode`.

        Raises MixbenchError where nothing is indexed or a query's embedding holds NaN or infinity.
        """
        if self._stored is None:
            raise MixbenchError(f"model {self.name!r} has no index; call index(corpus) before search")
        if k < 1:
            raise InputError(f"k is {k!r}; at least one document must be asked for")
        if not queries:
            return []
        encoded = encode(queries)
        queries_QD = self._prepared(encoded)
        for row in _rows_not_finite(queries_QD):
            raise MixbenchError(
                f"model {self.name!r}: the embedding of query {queries[row][:80]!r} {NOT_FINITE}"
            )
        if encoded.device.type == "cuda":
            chunks = read(parts_of([self._stored], self._chunk_read(queries_QD.shape[1])))
            scores_QK, positions_QK = search_chunks(queries_QD.to(encoded.device), chunks, k)
        else:  # Apple's GPUs too, which have no float64
            scores_QK, positions_QK = search_shards(
                queries_QD, [self._stored], k, extent=self._extent, memory=self.memory or MEMORY
            )
        return [
            list(zip(self._doc_ids[positions].tolist(), scores, strict=True))
            for positions, scores in zip(positions_QK.cpu().numpy(), scores_QK.tolist(), strict=True)
        ]

    def _chunk_read(self, dimension: int) -> int:
        if self.memory is None:
            return self.chunk_size
        return max(1, min(self.chunk_size, self.memory // (READ_COPIES * 4 * dimension)))

    def _prepared(self, encoded: Tensor) -> Tensor:
        embeddings = encoded.detach().cpu().float()
        if self.truncate_dim is not None:
            check_dimension(self.truncate_dim, embeddings.shape[1], self.name)
            embeddings = embeddings[:, : self.truncate_dim].contiguous()
        return _normalised(embeddings) if self.similarity == "cosine" else embeddings


def _normalised(embeddings_ND: Tensor) -> Tensor:
    """Return rows of length 1, worked out in float64, which has few rows at a time for its size."""
    unit_ND = torch.empty_like(embeddings_ND)
    rows = max(1, NUMBERS_NORMALISED // max(1, embeddings_ND.shape[1]))
    for start in range(0, len(unit_ND), rows):
        some_ND = embeddings_ND[start : start + rows].double()
        unit_ND[start : start + rows] = torch.nn.functional.normalize(some_ND, dim=1)
    return unit_ND


def runs_of(documents: Sequence[Document], size: int) -> Iterator[Sequence[Document]]:
    """Yield documents `size` at a time, the last ones fewer."""
    for start in range(0, len(documents), size):
        yield documents[start : start + size]


def check_dimension(truncate_dim: int, dimension: int | None, name: str) -> None:
    """Raise InputError unless embeddings of `dimension` (None: not known yet) have that many dimensions."""
    if truncate_dim < 1 or (dimension is not None and truncate_dim > dimension):
        upper = "" if dimension is None else f" and at most {dimension}, its dimensions"
        raise InputError(f"{truncate_dim!r} dimensions of model {name!r}: it must be at least 1{upper}")


NOT_FINITE = "has NaN or infinite values, which cannot be ranked; check the weights and the precision"


def _rows_not_finite(embeddings: Tensor) -> list[int]:
    rows: list[int] = (~torch.isfinite(embeddings).all(dim=1)).nonzero().squeeze(1).tolist()
    return rows
