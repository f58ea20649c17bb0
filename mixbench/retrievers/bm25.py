"""BM25: the lexical baseline, exact, from postings whose weights are worked out once.

The formulas are in `bm25_variants`. The score is the sum over the query's terms, repeated terms included, in
the order of the query. A document matches when it holds a term of the query, whatever its score.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from mixbench.data import Document
from mixbench.errors import InputError, UnknownName
from mixbench.retrievers.analyser import Analyser
from mixbench.retrievers.bm25_variants import DELTAS, Variant, weigh
from mixbench.retrievers.postings import TermCounts
from mixbench.retrievers.protocol import Ranking

TOLD_EVERY = 100


class BM25:
    """BM25 over title and text; a `Retriever`. One object serves one thread.

    `k1` (above 0) bends the term frequency, `b` (0 to 1) is the weight of the document's length, `delta`
    (0 or more, in bm25l and bm25plus alone) the least worth of an occurrence; its default is its authors'.
    Raises InputError for other values, UnknownName for an unknown `variant` or `analyser`. k1 and b are
    as Anserini sets them.
    """

    name = "bm25"
    training_sources: Sequence[str] = ()
    parameters = 0

    def __init__(
        self,
        *,
        k1: float = 0.9,
        b: float = 0.4,
        delta: float | None = None,
        variant: Variant = "lucene",
        analyser: str = "english",
    ) -> None:
        if not k1 > 0:
            raise InputError(f"BM25's k1 is {k1!r}; give a number above 0")
        if not 0 <= b <= 1:
            raise InputError(f"BM25's b is {b!r}; give a number from 0 to 1")
        if variant not in get_args(Variant):
            raise UnknownName.of("BM25 variant", variant, get_args(Variant))
        if delta is not None and not (variant in DELTAS and delta >= 0):
            raise InputError(f"BM25's delta is {delta!r}; give 0 or more, and that to {' or '.join(DELTAS)}")
        self.k1, self.b, self.variant = k1, b, variant
        self.delta = DELTAS.get(variant, 0.0) if delta is None else delta
        self.analyser = Analyser(analyser)
        self.advance: Callable[[int], None] = lambda texts: None
        self.index([])

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Every setting and version that can change a ranking."""
        packages = ("PyStemmer", "regex", *(("rank-bm25",) if self.variant == "okapi" else ()))
        return {
            "retriever": "bm25",
            "engine": "mixbench postings",
            "fields": ["title", "text"],
            "analyser": self.analyser.name,
            "stemmer": self.analyser.recipe.stemmer,
            "variant": self.variant,
            "k1": self.k1,
            "b": self.b,
            **({"delta": self.delta} if self.variant in DELTAS else {}),
            "versions": {name: version(name) for name in packages},
        }

    @property
    def index_bytes(self) -> int:
        """Bytes of the postings' arrays and of the terms they are found by."""
        return self._postings.nbytes

    def index(self, corpus: Sequence[Document]) -> None:
        """Replace the index by one of `corpus`."""
        texts = list(self._analysed(doc.content for doc in corpus))
        self.index_terms([doc.doc_id for doc in corpus], texts)

    def index_terms(self, doc_ids: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
        """Replace the index by one of texts that are analysed already, one for each of `doc_ids`."""
        order = sorted(range(len(doc_ids)), key=doc_ids.__getitem__, reverse=True)
        self._doc_ids = np.array([doc_ids[i] for i in order], dtype=object)
        self._given = np.argsort(np.array(order, dtype=np.int64))
        counts = TermCounts.of([texts[i] for i in order])
        self._postings = weigh(self.variant, counts, texts, k1=self.k1, b=self.b, delta=self.delta)

    def scores(self, terms: Sequence[str]) -> NDArray[np.float64]:
        """Return the score of every document, in the order in which the corpus was given: float64 [N]."""
        scores: NDArray[np.float64] = self._postings.scores(terms)[self._given]
        return scores

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """Return for each query its best `k` matching documents; none for a query without known terms."""
        return [self.search_terms(terms, k) for terms in self._analysed(queries)]

    def _analysed(self, texts: Iterable[str]) -> Iterator[list[str]]:
        for number, text in enumerate(texts, start=1):
            yield self.analyser(text)
            if number % TOLD_EVERY == 0:
                self.advance(TOLD_EVERY)

    def search_terms(self, terms: Sequence[str], k: int) -> Ranking:
        """Return the best `k` documents for an analysed query. Raises InputError for `k` below 1."""
        if k < 1:
            raise InputError(f"k is {k!r}; ask for at least 1 document a query")
        positions, scores = self._postings.best(terms, k)
        return list(zip(self._doc_ids[positions].tolist(), scores.tolist(), strict=True))
