"""An index of embeddings: what every encoder needs to rank documents, whoever computes the embeddings.

Embeddings are kept as float32 on the CPU, normalised where the similarity is cosine, in descending order of
doc_id, so that the lowest position wins a tie as trec_eval has it.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.retrievers.protocol import Ranking
from mixbench.retrievers.topk import search_chunks


class EmbeddingIndex:
    """Embeddings of a corpus and their exact search, by "cosine" or "dot" product.

    `name` is the model's, for errors. `chunk_size` documents are encoded, and scored, at a time.
    """

    def __init__(self, name: str, similarity: str, chunk_size: int) -> None:
        self.name = name
        self.similarity = similarity
        self.chunk_size = chunk_size
        self.documents: Sequence[Document] = ()
        self._embeddings_ND = torch.empty(0, 0)

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings."""
        return self._embeddings_ND.nbytes

    def fill(self, corpus: Sequence[Document], encode: Callable[[Sequence[Document]], Tensor]) -> None:
        """Replace the index by one of `corpus`; `encode` gives embeddings (documents, dimension).

        Raises InputError for an empty corpus, MixbenchError where an embedding holds NaN or infinity.
        """
        if not corpus:
            raise InputError(f"model {self.name!r} was given an empty corpus; it needs at least one document")
        self.documents, self._embeddings_ND = (), torch.empty(0, 0)
        documents = sorted(corpus, key=lambda document: document.doc_id, reverse=True)
        embeddings_ND = torch.empty(0, 0)
        for start in range(0, len(documents), self.chunk_size):
            chunk = documents[start : start + self.chunk_size]
            chunk_ND = self._prepared(encode(chunk))
            for row in _rows_not_finite(chunk_ND):
                raise MixbenchError(
                    f"model {self.name!r}: the embedding of document {chunk[row].doc_id!r} {NOT_FINITE}"
                )
            if start == 0:
                embeddings_ND = torch.empty(len(documents), chunk_ND.shape[1])
            embeddings_ND[start : start + len(chunk)] = chunk_ND
        self.documents, self._embeddings_ND = documents, embeddings_ND

    def search(
        self, queries: Sequence[str], k: int, encode: Callable[[Sequence[str]], Tensor]
    ) -> list[Ranking]:
        """Return the `k` best documents of each query, all where there are fewer; on the device of `encode`.

        Raises MixbenchError where nothing is indexed or a query's embedding holds NaN or infinity.
        """
        if not self.documents:
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
        # Apple's GPUs have no float64.
        queries_QD = queries_QD.to("cpu" if encoded.device.type == "mps" else encoded.device)
        scores_QK, positions_QK = search_chunks(queries_QD, self._chunks(), k)
        return [
            [
                (self.documents[position].doc_id, score)
                for position, score in zip(positions, scores, strict=True)
            ]
            for positions, scores in zip(positions_QK.tolist(), scores_QK.tolist(), strict=True)
        ]

    def _prepared(self, encoded: Tensor) -> Tensor:
        embeddings = encoded.detach().cpu().float()
        if self.similarity == "cosine":
            embeddings = torch.nn.functional.normalize(embeddings.double(), dim=1).float()
        return embeddings

    def _chunks(self) -> Iterator[tuple[int, Tensor]]:
        for start in range(0, len(self.documents), self.chunk_size):
            yield start, self._embeddings_ND[start : start + self.chunk_size]


NOT_FINITE = "has NaN or infinite values, which cannot be ranked; check the weights and the precision"


def _rows_not_finite(embeddings: Tensor) -> list[int]:
    rows: list[int] = (~torch.isfinite(embeddings).all(dim=1)).nonzero().squeeze(1).tolist()
    return rows
