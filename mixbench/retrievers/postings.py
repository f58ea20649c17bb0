"""Postings: for each term, the documents that hold it and its weight in each; summed, then the best k.

A document is a position, 0 .. N-1, in descending doc_id order: of two equal scores the lower position wins.
"""

import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]

DENSE_SHARE = 0.25
"""A term in more than this share of the documents is kept as one weight a document: added faster."""


@dataclass(frozen=True)
class TermCounts:
    """How often each term stands in each document: entries sorted by term, then by position."""

    terms: dict[str, int]
    """Term -> number 0 .. V-1, in the order of first appearance."""
    document_frequencies: Ints
    """[V]"""
    positions: Ints
    """[entries]"""
    frequencies: Ints
    """[entries]"""
    lengths: Ints
    """Terms in each document, [N]"""

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]]) -> "TermCounts":
        """Count the terms of `texts`, one text a position."""
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        flat = np.fromiter(map(numbers.__getitem__, chain.from_iterable(texts)), np.int64, int(lengths.sum()))
        documents = max(len(texts), 1)
        keys, frequencies = np.unique(
            flat * documents + np.repeat(np.arange(len(texts)), lengths), return_counts=True
        )
        terms, positions = np.divmod(keys, documents)
        return cls(dict(numbers), np.bincount(terms, minlength=len(numbers)), positions, frequencies, lengths)

    @property
    def documents(self) -> int:
        """N."""
        return len(self.lengths)


class Postings:
    """Weights of terms in documents, summed over a query. One object serves one thread: it has one buffer.

    `idf` is [V], `weights` [entries]. A term in many documents is kept as one weight a document, unless its
    weights may be 0 or negative: whether a document matches is then read from its entries.
    """

    def __init__(self, counts: TermCounts, idf: Floats, weights: Floats) -> None:
        df = counts.document_frequencies
        dense = (df > DENSE_SHARE * counts.documents) & (idf > 0)
        ends = np.cumsum(df)
        self._numbers = counts.terms
        self._dense: dict[int, Floats] = {}
        for term in np.flatnonzero(dense).tolist():
            entries = slice(ends[term] - df[term], ends[term])
            column = self._dense[term] = np.zeros(counts.documents)
            column[counts.positions[entries]] = weights[entries]
        sparse = np.repeat(~dense, df)
        self._positions, self._weights = counts.positions[sparse], weights[sparse]
        self._bounds = np.concatenate(([0], np.cumsum(np.where(dense, 0, df)))).tolist()
        self._positive = frozenset(np.flatnonzero(idf > 0).tolist())
        self._sums = np.zeros(counts.documents)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays and of the terms."""
        arrays = (self._positions, self._weights, self._sums, *self._dense.values())
        terms = sum(map(sys.getsizeof, self._numbers)) + sys.getsizeof(self._numbers)
        return terms + sys.getsizeof(self._bounds) + sum(array.nbytes for array in arrays)

    def scores(self, terms: Sequence[str]) -> Floats:
        """Return the summed weights of `terms`, [N], in a buffer that the next call overwrites."""
        return self._sum(self._known(terms))

    def best(self, terms: Sequence[str], k: int) -> tuple[Ints, Floats32]:
        """Return the positions and scores of the best `k` documents that hold one of `terms`, best first."""
        known = self._known(terms)
        scores = self._sum(known)
        if self._positive.issuperset(known):  # so that a match is a score above 0
            return best_scores(scores, k, above=0.0)
        matches = self._matches(known)
        positions, best = best_scores(scores[matches], k)
        return matches[positions], best

    def _sum(self, known: Sequence[int]) -> Floats:
        sums = self._sums
        sums.fill(0.0)
        for term in known:
            if term in self._dense:
                sums += self._dense[term]
            else:
                entries = self._entries(term)
                sums[self._positions[entries]] += self._weights[entries]
        return sums

    def _matches(self, known: Iterable[int]) -> Ints:
        matches = np.zeros(len(self._sums), dtype=bool)
        for term in known:
            if term in self._dense:
                matches |= self._dense[term] > 0
            else:
                matches[self._positions[self._entries(term)]] = True
        return np.flatnonzero(matches)

    def _entries(self, term: int) -> slice:
        return slice(self._bounds[term], self._bounds[term + 1])

    def _known(self, terms: Sequence[str]) -> list[int]:
        return [self._numbers[term] for term in terms if term in self._numbers]


def best_scores(scores: Floats, k: int, *, above: float = -math.inf) -> tuple[Ints, Floats32]:
    """Return the positions and values of the `k` highest of `scores`, [N]: best first, lower first if equal.

    Scores are equal when they are equal as float32; those that do not exceed `above` are left out. The scores
    are dealt into 4k piles: the k-th highest of the piles' maxima is a floor that k scores reach and few more
    do. Only those that reach it, or would as float32, are sorted; the result is exact.
    """
    piles = 4 * k
    depth = len(scores) // piles
    floor = -math.inf
    if depth >= 2:
        maxima = scores[: depth * piles].reshape(depth, piles).max(axis=0)
        maxima.partition(piles - k)
        floor = maxima.item(piles - k)
        floor -= abs(floor) * 2**-22  # further down than float32 rounds
    candidates = (scores >= floor if floor > above else scores > above).nonzero()[0]
    values = scores[candidates].astype(np.float32)
    order = (-values).argsort(kind="stable")[:k]
    return candidates[order], values[order]
