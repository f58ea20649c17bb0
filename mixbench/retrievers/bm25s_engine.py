"""BM25 by the bm25s package, with our analyser and our order of ties: another engine for the same ranking."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.retrievers.analyser import Analyser
from mixbench.retrievers.postings import best_scores
from mixbench.retrievers.protocol import Ranking


class BM25S:
    """Lucene's BM25 as bm25s computes it, in float32; a `Retriever`. Parameters as those of `BM25`.

    Raises MixbenchError where the package is not installed. Source: Lù, "BM25S" (2024),
    https://arxiv.org/abs/2407.03618.
    """

    name = "bm25s"
    training_sources: Sequence[str] = ()
    parameters = 0

    def __init__(self, *, k1: float = 0.9, b: float = 0.4, analyser: str = "english") -> None:
        try:
            import bm25s
        except ImportError:
            raise MixbenchError("model 'bm25s' needs a package: pip install 'mixbench[bm25s]'") from None
        self._package = bm25s
        self.k1, self.b = k1, b
        self.analyser = Analyser(analyser)
        self._doc_ids: list[str] = []
        self._index: Any = None

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Every setting and version that can change a ranking."""
        return {
            "retriever": "bm25",
            "engine": "bm25s",
            "fields": ["title", "text"],
            "analyser": self.analyser.name,
            "stemmer": self.analyser.recipe.stemmer,
            "variant": "lucene",
            "k1": self.k1,
            "b": self.b,
            "versions": {name: version(name) for name in ("PyStemmer", "regex", "bm25s")},
        }

    @property
    def index_bytes(self) -> int:
        """Bytes of the index's arrays."""
        if self._index is None:
            return 0
        arrays = (value for value in self._index.scores.values() if isinstance(value, np.ndarray))
        return sum(array.nbytes for array in arrays)

    def index(self, corpus: Sequence[Document]) -> None:
        """Replace the index by one of `corpus`."""
        documents = sorted(corpus, key=lambda document: document.doc_id, reverse=True)
        texts = [self.analyser(document.content) for document in documents]
        self._doc_ids, self._index = [document.doc_id for document in documents], None
        if any(texts):
            self._index = self._package.BM25(k1=self.k1, b=self.b, method="lucene", backend="numpy")
            self._index.index(texts, show_progress=False)

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """Return for each query its best `k` matching documents. Raises InputError for `k` below 1."""
        if k < 1:
            raise InputError(f"k is {k!r}; ask for at least 1 document a query")
        return [self._best(self.analyser(query), k) for query in queries]

    def _best(self, terms: list[str], k: int) -> Ranking:
        known = self._index.get_tokens_ids(terms) if self._index is not None else []
        if not known:
            return []
        scores = self._index.get_scores_from_ids(known).astype(np.float64)
        positions, best = best_scores(scores, k, above=0.0)
        return [
            (self._doc_ids[at], score) for at, score in zip(positions.tolist(), best.tolist(), strict=True)
        ]
