"""A full retriever by late interaction: MaxSim with every document, exact, for small collections.

An index holds one vector for each token of each document as float32 in main memory, some hundred times what
one vector a document takes. So it is refused above a limit; a larger collection can be reranked instead.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.retrievers.late_interaction import (
    DOCUMENTS_AT_ONCE,
    LateInteractionScorer,
    QueryTokens,
    TokenEncoder,
    max_sim,
)
from mixbench.retrievers.protocol import Ranking
from mixbench.retrievers.topk import TopK

MOST_BYTES = 4 * 2**30
QUERIES_AT_ONCE = 256
"""Queries compared with a document at once."""


class LateInteractionRetriever:
    """Ranks all documents by MaxSim; a `Retriever`.

    `most_bytes` is the largest index, in bytes, that is made: 4 GiB unless given.
    """

    def __init__(self, encoder: TokenEncoder, *, most_bytes: int = MOST_BYTES) -> None:
        self.encoder = encoder
        self.name = f"maxsim-{encoder.name}"
        self.training_sources = encoder.training_sources
        self.most_bytes = most_bytes
        self.advance: Callable[[int], None] = lambda texts: None
        self._documents: Sequence[Document] = ()
        self._vectors: list[Tensor] = []

    @property
    def recipe(self) -> Mapping[str, Any]:
        """That of the scorer: an exhaustive search adds nothing that can change a score."""
        return LateInteractionScorer(self.encoder).recipe

    @property
    def parameters(self) -> int:
        """Parameters of the encoder."""
        return self.encoder.parameters

    @property
    def index_bytes(self) -> int:
        """Bytes of the vectors of the current index."""
        return sum(vectors.nbytes for vectors in self._vectors)

    def index(self, corpus: Sequence[Document]) -> None:
        """Encode `corpus` and replace the index by it.

        Raises InputError for an empty corpus, and for one whose vectors would take more than `most_bytes`:
        before anything is encoded.
        """
        if not corpus:
            raise InputError(f"model {self.name!r} was given an empty corpus; it needs at least one document")
        self._documents, self._vectors = (), []
        documents = sorted(corpus, key=lambda document: document.doc_id, reverse=True)
        self._check_size(documents)
        vectors: list[Tensor] = []
        for chunk in _chunks(documents):
            vectors += [tokens_TD.cpu() for tokens_TD in self.encoder.encode_documents(chunk)]
            self.advance(len(chunk))
        self._documents, self._vectors = documents, vectors

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """Return the `k` best documents of each query: all of them where the corpus is smaller."""
        if not self._documents:
            raise MixbenchError(f"model {self.name!r} has no index; call index(corpus) before search")
        if k < 1:
            raise InputError(f"k is {k!r}; at least one document must be asked for")
        rankings: list[Ranking] = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            block = queries[start : start + QUERIES_AT_ONCE]
            rankings += self._rank(QueryTokens.of(self.encoder.encode_queries(block)), k)
            self.advance(len(block))
        return rankings

    def _rank(self, queries: QueryTokens, k: int) -> list[Ranking]:
        device = queries.tokens_SD.device
        best = TopK(k)
        for start in range(0, len(self._vectors), DOCUMENTS_AT_ONCE):
            chunk = self._vectors[start : start + DOCUMENTS_AT_ONCE]
            columns = [max_sim(queries, tokens_TD.to(device)) for tokens_TD in chunk]
            best.add(torch.stack(columns, dim=1).float(), start)
        scores_QK, positions_QK = best.result()
        return [
            [
                (self._documents[position].doc_id, score)
                for position, score in zip(positions, scores, strict=True)
            ]
            for positions, scores in zip(positions_QK.tolist(), scores_QK.tolist(), strict=True)
        ]

    def _check_size(self, documents: Sequence[Document]) -> None:
        dimension = self.encoder.encode_documents(documents[:1])[0].shape[1]
        needed = sum(map(self.encoder.count_tokens, _chunks(documents))) * dimension * 4
        if needed > self.most_bytes:
            raise InputError(
                f"model {self.name!r}: the tokens of {len(documents)} documents take up to {needed:,} bytes,"
                f" more than the limit of {self.most_bytes:,}; rerank by it: -m bm25 --rerank maxsim:MODEL"
            )


def _chunks(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    for start in range(0, len(documents), DOCUMENTS_AT_ONCE):
        yield documents[start : start + DOCUMENTS_AT_ONCE]
