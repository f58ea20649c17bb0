"""The bridge to mteb, both ways: our retrievers as its models, and its models as our retrievers.

mteb itself is imported by the first call, not by this module.
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.retrievers.protocol import Ranking, Retriever

if TYPE_CHECKING:
    from mixbench.interop.mteb.models import Row, SearchModel
    from mixbench.retrievers.embeddings import EmbeddingIndex


def recipe_sha256(retriever: Retriever) -> str:
    """Return the SHA-256 of the recipe as canonical JSON: equal where, and only where, recipes are equal."""
    text = json.dumps(dict(retriever.recipe), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def as_mteb(retriever: Retriever) -> "SearchModel":
    """Return `retriever` as a model for `mteb.evaluate` and `mteb.mock_run`.

    Its revision is the hash of the recipe, so that mteb's result cache never gives one model the score of
    another. The cache does not look at the data: pass `cache=None` where a corpus can change.
    """
    from mixbench.interop.mteb.models import search_model

    def index(rows: "list[Row]") -> None:
        retriever.index([Document(*row) for row in rows])

    return search_model(
        name=retriever.name,
        revision=recipe_sha256(retriever),
        index=index,
        search=retriever.search,
        parameters=retriever.parameters,
        training_datasets=retriever.training_sources or (),
    )


class MtebRetriever:
    """A model that mteb knows by name, driven by mteb; the search is ours where the model only encodes.

    `task` is the name in mteb of the task to come, for models with a prompt or a language for each task.
    `similarity` (None: the model's), `truncate_dim` and `precision` are those of `DenseRetriever`, `memory`
    that of `EmbeddingIndex`, for models that only encode. Code that the model brings along runs only if it
    is `trusted`.

    Raises UnknownName, InputError for a model that only reranks, or that searches by itself and was given one
    of the three, MixbenchError where mteb cannot load it.
    """

    def __init__(
        self,
        name: str,
        *,
        task: str | None = None,
        device: str | None = None,
        batch_size: int = 32,
        similarity: str | None = None,
        truncate_dim: int | None = None,
        precision: str = "float32",
        chunk_size: int = 50_000,
        memory: int | None = None,
        trusted: bool = False,
    ) -> None:
        from mixbench.interop.mteb.known_models import KnownModel

        self._model = KnownModel(name, device=device, batch_size=batch_size, trusted=trusted)
        self.name = self._model.name
        self.task = task
        self.training_sources = self._model.training_datasets
        self._similarity = similarity
        self._truncate_dim = truncate_dim
        self._precision = precision
        self._chunk_size = chunk_size
        self._memory = memory
        self._documents = 0
        self._index = self._empty_index()

    def for_task(self, task: str | None) -> "MtebRetriever":
        """Return a retriever without an index over the same loaded model, for another task of mteb."""
        other = copy.copy(self)
        other.task = task
        other._documents = 0
        other._index = self._empty_index()
        return other

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Model and revision as mteb states them, mteb's version, whose code runs it, and what was chosen.

        The task is not part of it: what a model does for a task follows from its revision.
        """
        from mixbench.retrievers.precision import precision_recipe

        chosen = {"similarity": self._similarity, "truncate_dim": self._truncate_dim}
        return {
            "kind": "mteb",
            "model": self._model.name,
            "model_revision": self._model.revision,
            "mteb": self._model.mteb_version,
            **{key: value for key, value in chosen.items() if value is not None},
            **precision_recipe(self._precision),
        }

    @property
    def parameters(self) -> int:
        """Parameters of the loaded model, else the number that mteb states, 0 where it states none."""
        return self._model.parameters

    @property
    def index_bytes(self) -> int:
        """Bytes of the embeddings; 0 for a model that searches by itself, which tells no size."""
        return 0 if self._index is None else self._index.nbytes

    def index(self, corpus: Sequence[Document]) -> None:
        """Replace the index by one of `corpus`; raise InputError where that is empty."""
        if not corpus:
            raise InputError(f"model {self.name!r} was given an empty corpus; it needs at least one document")
        if self._index is not None:
            if self._memory is not None:
                dimension = self._model.encode_documents(corpus[:1], task=self.task).shape[1]
                self._index.check_memory(min(self._chunk_size, len(corpus)), dimension)
            self._index.fill(corpus, lambda chunk: self._model.encode_documents(chunk, task=self.task))
        else:
            self._model.index(corpus, task=self.task)
        self._documents = len(corpus)

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """Return at most `k` documents for each query."""
        if not self._documents:
            raise MixbenchError(f"model {self.name!r} has no index; call index(corpus) before search")
        if self._index is not None:
            return self._index.search(
                queries, k, lambda texts: self._model.encode_queries(texts, task=self.task)
            )
        if not queries:
            return []
        found = self._model.search(queries, min(k, self._documents), task=self.task)
        return [_ranked(scores) for scores in found]

    def _empty_index(self) -> "EmbeddingIndex | None":
        from mixbench.retrievers.embeddings import EmbeddingIndex

        if self._model.similarity:
            return EmbeddingIndex(
                self.name,
                self._similarity or self._model.similarity,
                self._chunk_size,
                truncate_dim=self._truncate_dim,
                precision=self._precision,
                memory=self._memory,
            )
        if self._similarity or self._truncate_dim or self._precision != "float32":
            raise InputError(
                f"model {self.name!r} searches by itself: it takes no other similarity, number of dimensions"
                " or precision; leave them out"
            )
        return None


def _ranked(scores: Mapping[str, float]) -> Ranking:
    """Return a ranking by score, as float32 as trec_eval reads it, then by doc_id, both descending."""
    rounded = [(float(np.float32(score)), doc_id) for doc_id, score in scores.items()]
    return [(doc_id, score) for score, doc_id in sorted(rounded, reverse=True)]
