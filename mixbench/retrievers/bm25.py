"""BM25: the lexical baseline, exact, from postings whose weights are worked out once.

Weight of a term in a document, with its frequency tf, the document's length dl and the mean length avgdl:

    lucene:  ln(1 + (N - df + 0.5) / (df + 0.5)) * tf / (tf + k1 * (1 - b + b * dl / avgdl))
    okapi:   as rank_bm25.BM25Okapi, with its idf and in its order of operations: equal bit for bit

The score is the sum over the query's terms, repeated terms included, in the order of the query.
A document matches when it holds a term of the query, whatever the sign of its score.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

from mixbench.data import Document
from mixbench.errors import InputError, UnknownName
from mixbench.retrievers.analyser import Analyser
from mixbench.retrievers.postings import Postings, TermCounts
from mixbench.retrievers.protocol import Ranking

Idf = Literal["lucene", "okapi"]
TOLD_EVERY = 100


class BM25:
    """BM25 over title and text; a `Retriever`. One object serves one thread.

    `k1` (above 0) bends the term frequency, `b` (0 to 1) is the weight of the document's length.
    Raises InputError for other values, UnknownName for an unknown `idf` or `analyser`.
    Sources: Kamphuis et al., "Which BM25 Do You Mean?" (2020); k1 and b as Anserini sets them.
    """

    name = "bm25"
    training_sources: Sequence[str] = ()
    parameters = 0

    def __init__(
        self, *, k1: float = 0.9, b: float = 0.4, idf: Idf = "lucene", analyser: str = "english"
    ) -> None:
        if not k1 > 0:
            raise InputError(f"BM25's k1 is {k1!r}; give a number above 0")
        if not 0 <= b <= 1:
            raise InputError(f"BM25's b is {b!r}; give a number from 0 to 1")
        if idf not in get_args(Idf):
            raise UnknownName.of("idf", idf, get_args(Idf))
        self.k1, self.b, self.idf = k1, b, idf
        self.analyser = Analyser(analyser)
        self.advance: Callable[[int], None] = lambda texts: None
        self.index([])

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Every setting and version that can change a ranking."""
        packages = ("PyStemmer", "regex", *(("rank-bm25",) if self.idf == "okapi" else ()))
        return {
            "retriever": "bm25",
            "engine": "mixbench postings",
            "fields": ["title", "text"],
            "analyser": self.analyser.name,
            "stemmer": self.analyser.recipe.stemmer,
            "idf": self.idf,
            "k1": self.k1,
            "b": self.b,
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
        if not counts.terms:  # no text holds a term: a mean length of 0 would be divided by
            self._postings = Postings(counts, np.zeros(0), np.zeros(0))
        elif self.idf == "lucene":
            self._postings = weigh_lucene(counts, k1=self.k1, b=self.b)
        else:  # in the given order, on which the mean idf that replaces negative ones depends by rounding
            self._postings = weigh_okapi(counts, BM25Okapi(texts, k1=self.k1, b=self.b))

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


def weigh_lucene(counts: TermCounts, *, k1: float, b: float) -> Postings:
    """Return postings weighed as Lucene weighs since version 8, but by exact lengths, not rounded ones."""
    df, tf, lengths = counts.document_frequencies, counts.frequencies, counts.lengths
    idf = np.log(1 + (len(lengths) - df + 0.5) / (df + 0.5))
    norms = k1 * (1 - b + b * lengths / lengths.mean())
    return Postings(counts, idf, np.repeat(idf, df) * (tf / (tf + norms[counts.positions])))


def weigh_okapi(counts: TermCounts, okapi: BM25Okapi) -> Postings:
    """Return postings weighed as `okapi.get_scores` weighs, operation by operation."""
    idf = np.array([okapi.idf[term] for term in counts.terms], dtype=np.float64)
    tf, lengths = counts.frequencies, counts.lengths[counts.positions]
    k1, b = okapi.k1, okapi.b
    saturation = tf * (k1 + 1) / (tf + k1 * (1 - b + b * lengths / okapi.avgdl))
    return Postings(counts, idf, np.repeat(idf, counts.document_frequencies) * saturation)
