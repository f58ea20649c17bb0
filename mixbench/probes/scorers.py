"""What scores documents for queries: one protocol, for embeddings and for what any retriever ranks.

Documents are positions 0 to N - 1, in the order in which they were given. Of two equal scores the lower
position wins: in a corpus by descending doc_id that is trec_eval's order.

Shapes: Q queries of a block, N documents, d the dimension of embeddings.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from mixbench.errors import InputError, MixbenchError
from mixbench.retrievers.protocol import Retriever

DOCUMENTS_AT_ONCE = 2**15
"""Documents whose embeddings are held in float64 at once."""


class Scorer(Protocol):
    """Scores of all documents for some queries; higher is more alike."""

    @property
    def queries(self) -> int:
        """How many queries there are."""
        ...

    @property
    def documents(self) -> int:
        """How many documents there are: N."""
        ...

    def block(self, start: int, stop: int) -> Tensor:
        """Return the scores (Q, N), float32, of the queries from `start` to before `stop`.

        Minus infinity is the score of a document that a query does not rank.
        """
        ...


class EmbeddingScorer:
    """Scores by the cosine or the dot product of embeddings; a `Scorer`.

    Sums are float64 and rounded once to float32, so that equal embeddings get equal scores and a score does
    not depend on the block that it is computed in.

    Args:
        queries: embeddings (queries, d), of any float type.
        documents: embeddings (N, d).
        similarity: "cosine" or "dot".
        device: where scores are computed.

    Raises:
        InputError: the shapes do not fit each other.
        MixbenchError: an embedding holds NaN or infinity.
    """

    def __init__(
        self, queries: Tensor, documents: Tensor, *, similarity: str = "cosine", device: str = "cpu"
    ) -> None:
        check_embeddings(queries, documents)
        if similarity not in ("cosine", "dot"):
            raise InputError(f"similarity {similarity!r}; give 'cosine' or 'dot'")
        place = torch.device("cpu" if device.startswith("mps") else device)  # Apple's GPUs have no float64
        self._queries, self._documents = queries.float().to(place), documents.float().to(place)
        if similarity == "cosine":
            self._queries, self._documents = unit_length(self._queries), unit_length(self._documents)

    @property
    def queries(self) -> int:
        """How many queries there are."""
        return len(self._queries)

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self._documents)

    def block(self, start: int, stop: int) -> Tensor:
        """Return the scores (Q, N) of the queries from `start` to before `stop`, on the device."""
        queries_Qd = self._queries[start:stop].double()
        chunks = torch.split(self._documents, DOCUMENTS_AT_ONCE)
        return torch.cat([(queries_Qd @ chunk_nd.double().T).float() for chunk_nd in chunks], dim=1)


class RankingScorer:
    """Scores that a retriever gives when it is asked for all documents; a `Scorer`.

    So BM25, a fusion and a stored run are scored by their own search. What they do not rank scores minus
    infinity.

    Args:
        retriever: one that has indexed the documents.
        queries: texts by their ids.
        doc_ids: the documents in their order.
    """

    def __init__(self, retriever: Retriever, queries: Mapping[str, str], doc_ids: Sequence[str]) -> None:
        self._retriever = retriever
        self._queries = list(queries.items())
        self._positions = {doc_id: position for position, doc_id in enumerate(doc_ids)}

    @property
    def queries(self) -> int:
        """How many queries there are."""
        return len(self._queries)

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self._positions)

    def block(self, start: int, stop: int) -> Tensor:
        """Return the scores (Q, N) of the queries from `start` to before `stop`.

        Raises MixbenchError where a ranking names a document that is none of these.
        """
        chosen = self._queries[start:stop]
        if hasattr(self._retriever, "query_ids"):
            self._retriever.query_ids = [query_id for query_id, _ in chosen]
        scores_QN = torch.full((len(chosen), self.documents), -torch.inf)
        rankings = self._retriever.search([text for _, text in chosen], self.documents)
        for row, ranking in enumerate(rankings):
            unknown = next((doc_id for doc_id, _ in ranking if doc_id not in self._positions), None)
            if unknown is not None:
                raise MixbenchError(
                    f"{self._retriever.name!r} ranks document {unknown!r:.80}, which is not in the corpus;"
                    " search the same corpus"
                )
            places = [self._positions[doc_id] for doc_id, _ in ranking]
            scores_QN[row, places] = torch.tensor([score for _, score in ranking], dtype=torch.float32)
        return scores_QN


def unit_length(embeddings: Tensor) -> Tensor:
    """Return `embeddings` (n, d) divided by their lengths, which are summed in float64; zeros stay zeros."""
    return torch.cat(
        [
            torch.nn.functional.normalize(chunk.double(), dim=1).float()
            for chunk in torch.split(embeddings, DOCUMENTS_AT_ONCE)
        ]
    )


def sign_binarised(embeddings: Tensor) -> Tensor:
    """Return the signs of `embeddings` (n, d): -1, 0 or 1, as float32.

    That is what the paper's benchmark did to the Llama's embeddings and not to the mixer's: of shape
    (1, 1, d) they were normalised over an axis of size 1, which leaves x / |x| of each number
    (retrieval_benchmark.py of github.com/blbadger/maskedmixers). Here for that comparison.
    """
    return embeddings.float().sign()


def check_embeddings(queries: Tensor, documents: Tensor) -> None:
    """Refuse embeddings of queries and documents that cannot be compared.

    Raises InputError for shapes that do not fit, MixbenchError where one holds NaN or infinity.
    """
    if queries.ndim != 2 or documents.ndim != 2 or queries.shape[1] != documents.shape[1]:
        shapes = f"{tuple(queries.shape)} and {tuple(documents.shape)}"
        raise InputError(f"embeddings of shapes {shapes}; give (queries, d) and (documents, d)")
    for name, embeddings in (("query", queries), ("document", documents)):
        rows = (~torch.isfinite(embeddings).all(dim=1)).nonzero().squeeze(1).tolist()
        if rows:
            raise MixbenchError(
                f"the embedding of {name} {rows[0]} has NaN or infinite values, which cannot be ranked;"
                " check the weights and the precision"
            )
