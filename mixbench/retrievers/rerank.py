"""Reranking: a slower scorer puts the best documents of any retriever in a new order.

The best `depth` documents of the first stage are scored again and ranked by the new scores alone. Documents
further down keep the order of the first stage, below all of those. The two stages score on scales that have
nothing to do with each other, so what is further down gets scores that only count ranks: each is 1 below the
one before it (or one float32 step, where 1 is too little to change the number), from the lowest new score on.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.retrievers.protocol import Ranking, Retriever


class Scorer(Protocol):
    """What says how well documents answer queries, higher being better.

    `name` follows the retriever's on the leaderboard. `recipe`, `parameters` and `training_sources` mean what
    they mean for a `Retriever`.
    """

    @property
    def name(self) -> str: ...

    @property
    def training_sources(self) -> Sequence[str] | None: ...

    @property
    def recipe(self) -> Mapping[str, Any]: ...

    @property
    def parameters(self) -> int: ...

    def score(
        self,
        queries: Sequence[str],
        candidates: Sequence[Sequence[Document]],
        advance: Callable[[int], None],
    ) -> list[list[float]]:
        """Return for each query the scores of its candidates; `advance` is told of pairs scored."""
        ...


class Reranked:
    """A retriever whose best `depth` documents `scorer` ranks again; a `Retriever`.

    Equal scores rank by descending doc_id. Raises InputError for a depth below 1.
    """

    def __init__(self, first: Retriever, scorer: Scorer, *, depth: int) -> None:
        if depth < 1:
            raise InputError(f"rerank depth is {depth!r}; rerank at least 1 document a query")
        self.first = first
        self.scorer = scorer
        self.depth = depth
        self.advance: Callable[[int], None] = lambda texts: None
        self.query_ids: Sequence[str] | None = None
        self._corpus: Sequence[Document] = ()
        self._positions: dict[str, int] = {}

    @property
    def name(self) -> str:
        """Both names, as "first@scorer"."""
        return f"{self.first.name}@{self.scorer.name}"

    @property
    def training_sources(self) -> Sequence[str] | None:
        """What either was trained on; None where nobody says it of one of them."""
        first, second = self.first.training_sources, self.scorer.training_sources
        return None if first is None or second is None else sorted({*first, *second})

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipes of both, and the depth."""
        return {
            "kind": "reranked",
            "first": dict(self.first.recipe),
            "scorer": dict(self.scorer.recipe),
            "depth": self.depth,
        }

    @property
    def parameters(self) -> int:
        """Parameters of both together."""
        return self.first.parameters + self.scorer.parameters

    @property
    def index_bytes(self) -> int:
        """Bytes of the first stage's index; the texts, which are kept too, do not count."""
        return self.first.index_bytes

    def index(self, corpus: Sequence[Document]) -> None:
        """Index `corpus` for the first stage, and keep its texts for the second."""
        self._tell(self.advance)
        self.first.index(corpus)
        self._corpus = corpus
        self._positions = {document.doc_id: position for position, document in enumerate(corpus)}

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """Return at most `k` documents for each query: those reranked, then the rest as they were.

        Raises InputError for `k` below 1, MixbenchError for a new score that is no finite number, and for a
        document of a stored run that the corpus has not.
        """
        if k < 1:
            raise InputError(f"k is {k!r}; ask for at least 1 document a query")
        self._tell(lambda texts: None)  # a query is done once it is reranked
        query_ids, self.query_ids = self.query_ids, None
        if hasattr(self.first, "query_ids"):
            self.first.query_ids = query_ids
        rankings = self.first.search(queries, max(k, self.depth))
        heads = [[doc_id for doc_id, _ in ranking[: self.depth]] for ranking in rankings]
        candidates = [[self._document(doc_id) for doc_id in head] for head in heads]
        pairs = sum(map(len, heads))
        scores = self.scorer.score(queries, candidates, _Share(self.advance, pairs, len(queries)))
        reranked = []
        for query, head, ranking, new in zip(queries, heads, rankings, scores, strict=True):
            best = _ranked(query, head, new)
            rest = [doc_id for doc_id, _ in ranking[self.depth :]]
            reranked.append((best + _below(best, rest))[:k])
        return reranked

    def _document(self, doc_id: str) -> Document:
        if doc_id not in self._positions:
            raise MixbenchError(
                f"{self.first.name!r} ranks document {doc_id!r}, which is not in the corpus; without text it"
                " cannot be reranked"
            )
        return self._corpus[self._positions[doc_id]]

    def _tell(self, advance: Callable[[int], None]) -> None:
        """Let the first stage tell `advance` of texts done, if it tells at all."""
        if hasattr(self.first, "advance"):
            self.first.advance = advance


class _Share:
    """Told of pairs scored, tells of queries done, as if each had the same number of pairs."""

    def __init__(self, advance: Callable[[int], None], pairs: int, queries: int) -> None:
        self.advance, self.pairs, self.queries = advance, max(1, pairs), queries
        self.scored = self.told = 0

    def __call__(self, pairs: int) -> None:
        self.scored += pairs
        done = self.queries * self.scored // self.pairs
        if done > self.told:
            self.advance(done - self.told)
            self.told = done


def _ranked(query: str, doc_ids: Sequence[str], scores: Sequence[float]) -> Ranking:
    """Return documents by their scores as float32 numbers, best first, then by descending doc_id."""
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
        rounded: list[float] = np.asarray(scores, dtype=np.float32).astype(float).tolist()
    for doc_id, score in zip(doc_ids, rounded, strict=True):
        if not math.isfinite(score):
            raise MixbenchError(
                f"the reranker scores document {doc_id!r} {score} for query {query[:80]!r}, which cannot be"
                " ranked; check its weights and precision"
            )
    pairs = zip(doc_ids, rounded, strict=True)
    return sorted(pairs, key=lambda entry: (entry[1], entry[0]), reverse=True)


def _below(best: Ranking, doc_ids: Sequence[str]) -> Ranking:
    """Return `doc_ids` in their order, with float32 scores that descend from the lowest of `best`."""
    score = np.float32(best[-1][1] if best else 0.0)
    below = []
    for doc_id in doc_ids:
        score = min(np.float32(score - np.float32(1)), np.nextafter(score, np.float32(-np.inf)))
        below.append((doc_id, float(score)))
    return below
