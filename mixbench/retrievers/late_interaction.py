"""Late interaction: texts as one vector a token, compared by MaxSim.

MaxSim takes for each token of the query the most similar token of the document, and adds up. Source: Khattab
and Zaharia, "ColBERT" (2020), equation 3. Products are summed in float64 and a score is rounded once to
float32, as in `topk`, so that equal vectors get equal scores wherever they stand.

Shapes: S tokens of queries, T tokens of one document, D dimensions, Q queries, N documents.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from mixbench.data import Document
from mixbench.errors import MixbenchError
from mixbench.retrievers.attention import attention_of_any_shape

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

UNLIMITED = 2**31
DOCUMENTS_AT_ONCE = 256
"""Documents whose vectors are held at once while they are scored: 134 MB for 512 tokens of 256 numbers."""


@dataclass(frozen=True)
class QueryTokens:
    """The tokens of several queries, one after the other."""

    tokens_SD: Tensor
    """Vectors in float64, of length 1."""
    owner_S: Tensor
    """The number of the query that each belongs to."""
    queries: int

    @classmethod
    def of(cls, queries: Sequence[Tensor]) -> Self:
        """Join the tokens of `queries`, at least one, each (its tokens, D)."""
        tokens_SD = torch.cat(list(queries)).double()
        counts = torch.tensor([len(query) for query in queries], device=tokens_SD.device)
        owner_S = torch.arange(len(queries), device=tokens_SD.device).repeat_interleave(counts)
        return cls(tokens_SD, owner_S, len(queries))


def max_sim(queries: QueryTokens, document_TD: Tensor) -> Tensor:
    """Return the MaxSim of each query and one document, (Q,) float64.

    For a document without tokens each token of a query counts as -1, the lowest cosine; a query without
    tokens has 0 with every document.
    """
    scores_Q = queries.tokens_SD.new_zeros(queries.queries)
    if len(document_TD) == 0:
        best_S = queries.tokens_SD.new_full((len(queries.tokens_SD),), -1.0)
    else:
        best_S = (queries.tokens_SD @ document_TD.double().T).amax(dim=1)
    return scores_Q.index_add_(0, queries.owner_S, best_S)


class TokenEncoder:
    """A multi-vector model and how it is run: texts in, one vector of length 1 a token out.

    `model` leaves padding out by its mask, and whatever tokens its MultiVectorMask names. `model_sha256`
    identifies the weights. Prompts are put before the texts, and their tokens count as the texts' own.
    """

    def __init__(
        self,
        model: "MultiVectorEncoder",
        *,
        name: str,
        model_sha256: str,
        batch_size: int = 32,
        query_prompt: str = "",
        document_prompt: str = "",
        training_sources: Sequence[str] | None = None,
    ) -> None:
        self.model = model
        self.name = name
        self.model_sha256 = model_sha256
        self.batch_size = batch_size
        self.query_prompt = query_prompt
        self.document_prompt = document_prompt
        self.training_sources = training_sources

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Every setting that can change a vector, JSON values only."""
        length = self.model.max_seq_length
        skipped = {word for module in self.model for word in getattr(module, "skiplist_words", ())}
        return {
            "model_sha256": self.model_sha256,
            "modules": [type(module).__name__ for module in self.model],
            "tokens_left_out": sorted(skipped),
            "query_prompt": self.query_prompt,
            "document_prompt": self.document_prompt,
            # A model that reads everything says None, infinity, or 10 to the power of 30.
            "max_length": length if isinstance(length, int) and length < UNLIMITED else None,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }

    @property
    def parameters(self) -> int:
        """Parameters of the model, embeddings included."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @attention_of_any_shape()
    def encode_queries(self, queries: Sequence[str]) -> list[Tensor]:
        """Return the tokens of each query, (S, D), on the model's device."""
        found = self.model.encode_query(
            list(queries), prompt=self.query_prompt, batch_size=self.batch_size, show_progress_bar=False
        )
        return [
            self._unit(vectors, "query", query[:80]) for vectors, query in zip(found, queries, strict=True)
        ]

    @attention_of_any_shape()
    def encode_documents(self, documents: Sequence[Document]) -> list[Tensor]:
        """Return the tokens of each document, title before text, (T, D), on the model's device."""
        found = self.model.encode_document(
            [document.content for document in documents],
            prompt=self.document_prompt,
            batch_size=self.batch_size,
            show_progress_bar=False,
        )
        return [
            self._unit(vectors, "document", document.doc_id)
            for vectors, document in zip(found, documents, strict=True)
        ]

    def count_tokens(self, documents: Sequence[Document]) -> int:
        """Return how many tokens the model reads of `documents`, those that its mask drops included."""
        texts = [document.content for document in documents]
        features = self.model.preprocess(texts, prompt=self.document_prompt, task="document")
        return int(features["attention_mask"].sum())

    def _unit(self, vectors: Tensor, kind: str, which: str) -> Tensor:
        if not torch.isfinite(vectors).all():
            raise MixbenchError(
                f"model {self.name!r}: a token of {kind} {which!r} has NaN or infinite values, which cannot"
                " be ranked; check the weights and the precision"
            )
        if vectors.device.type == "mps":  # Apple's GPUs have no float64
            vectors = vectors.cpu()
        return torch.nn.functional.normalize(vectors.float(), dim=1)


class LateInteractionScorer:
    """MaxSim over the tokens of query and document; a `Scorer`.

    Holds the tokens of all queries and of a few hundred documents: each document is encoded once, however
    many queries it is a candidate of.
    """

    def __init__(self, encoder: TokenEncoder) -> None:
        self.encoder = encoder
        self.name = f"maxsim-{encoder.name}"
        self.training_sources = encoder.training_sources

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The encoder's recipe, and what is done with its vectors."""
        return {"kind": "late interaction", "scoring": "maxsim", **self.encoder.recipe}

    @property
    def parameters(self) -> int:
        """Parameters of the encoder."""
        return self.encoder.parameters

    def score(
        self,
        queries: Sequence[str],
        candidates: Sequence[Sequence[Document]],
        advance: Callable[[int], None],
    ) -> list[list[float]]:
        """Return the MaxSim of each query with each of its candidates."""
        scores = [[0.0] * len(documents) for documents in candidates]
        documents, places = _by_document(candidates)
        if not documents:
            return scores
        vectors = self.encoder.encode_queries(queries)
        for document, tokens_TD in self._encoded(documents):
            wanted = places[document.doc_id]
            found = max_sim(QueryTokens.of([vectors[query] for query, _ in wanted]), tokens_TD)
            for (query, column), score in zip(wanted, found.float().tolist(), strict=True):
                scores[query][column] = score
            advance(len(wanted))
        return scores

    def _encoded(self, documents: Sequence[Document]) -> Iterator[tuple[Document, Tensor]]:
        for start in range(0, len(documents), DOCUMENTS_AT_ONCE):
            chunk = documents[start : start + DOCUMENTS_AT_ONCE]
            yield from zip(chunk, self.encoder.encode_documents(chunk), strict=True)


Places = dict[str, list[tuple[int, int]]]


def _by_document(candidates: Sequence[Sequence[Document]]) -> tuple[list[Document], Places]:
    """Return each document once, and by doc_id the queries, and places in their lists, that want it."""
    documents: dict[str, Document] = {}
    places: Places = {}
    for query, wanted in enumerate(candidates):
        for column, document in enumerate(wanted):
            documents.setdefault(document.doc_id, document)
            places.setdefault(document.doc_id, []).append((query, column))
    return list(documents.values()), places
