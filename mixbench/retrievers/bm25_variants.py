"""The formulas of BM25: what a term adds to the score of a document that holds it.

tf is the term's frequency in the document, dl the document's length in terms, avgdl the mean length, N the
number of documents, df of those that hold the term; norm = 1 - b + b * dl / avgdl and c = tf / norm.

    lucene     ln(1 + (N - df + 0.5) / (df + 0.5)) * tf / (tf + k1 * norm)
    robertson  max(0, ln((N - df + 0.5) / (df + 0.5))) * tf / (tf + k1 * norm)
    atire      ln(N / df) * tf * (k1 + 1) / (tf + k1 * norm)
    bm25l      ln((N + 1) / (df + 0.5)) * (k1 + 1) * (c + delta) / (k1 + c + delta)
    bm25plus   ln((N + 1) / df) * (tf * (k1 + 1) / (tf + k1 * norm) + delta)
    okapi      as rank_bm25.BM25Okapi, with its idf and in its order of operations: equal bit for bit

Lucene's lengths are exact here, not rounded to a byte. A term adds nothing to a document that lacks it, as Lv
and Zhai define BM25L and BM25+: delta is what an occurrence is worth at least, however long the document.
Two well-known implementations differ from that. bm25s adds delta's share for absent terms too, which is the
same sum for each document, so that its BM25+ ranks as BM25 with that idf would. rank-bm25's released BM25L
multiplies each term by its frequency once more, so that it no longer levels off with the frequency.

Sources: Kamphuis et al., "Which BM25 Do You Mean?" (2020); Lv and Zhai, "When Documents Are Very Long, BM25
Fails!" (BM25L) and "Lower-Bounding Term Frequency Normalization" (BM25+), both 2011.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from rank_bm25 import BM25Okapi

from mixbench.retrievers.postings import Floats, Postings, TermCounts

Variant = Literal["lucene", "robertson", "atire", "bm25l", "bm25plus", "okapi"]
DELTAS = {"bm25l": 0.5, "bm25plus": 1.0}
"""What Lv and Zhai recommend, for the variants that have a delta."""

Idf = Callable[[Floats, int], Floats]
"""idf of terms from their document frequencies [V] and N."""
Saturation = Callable[[Floats, Floats, float, float], Floats]
"""Worth of occurrences from tf [entries], norm [entries], k1 and delta."""


def _robertson_idf(df: Floats, n: int) -> Floats:
    return np.maximum(0.0, np.log((n - df + 0.5) / (df + 0.5)))


def _plain(tf: Floats, norm: Floats, k1: float, delta: float) -> Floats:
    return tf / (tf + k1 * norm)


def _scaled(tf: Floats, norm: Floats, k1: float, delta: float) -> Floats:
    return tf * (k1 + 1) / (tf + k1 * norm)


def _bm25l(tf: Floats, norm: Floats, k1: float, delta: float) -> Floats:
    shifted = tf / norm + delta
    return (k1 + 1) * shifted / (k1 + shifted)


def _bm25plus(tf: Floats, norm: Floats, k1: float, delta: float) -> Floats:
    return _scaled(tf, norm, k1, delta) + delta


FORMULAS: dict[str, tuple[Idf, Saturation]] = {
    "lucene": (lambda df, n: np.log(1 + (n - df + 0.5) / (df + 0.5)), _plain),
    "robertson": (_robertson_idf, _plain),
    "atire": (lambda df, n: np.log(n / df), _scaled),
    "bm25l": (lambda df, n: np.log((n + 1) / (df + 0.5)), _bm25l),
    "bm25plus": (lambda df, n: np.log((n + 1) / df), _bm25plus),
}
"""Every variant but okapi: idf, and worth of an occurrence."""


def weigh(
    variant: Variant, counts: TermCounts, texts: Sequence[Sequence[str]], *, k1: float, b: float, delta: float
) -> Postings:
    """Return postings weighed by `variant`; `texts` are those counted, in the order in which they came."""
    if not counts.terms:  # no text holds a term: a mean length of 0 would be divided by
        return Postings(counts, np.zeros(0), np.zeros(0))
    if variant == "okapi":  # the mean idf that replaces negative ones depends on the order, by rounding
        return weigh_okapi(counts, BM25Okapi(texts, k1=k1, b=b))
    idf_of, worth = FORMULAS[variant]
    df = counts.document_frequencies.astype(np.float64)
    idf = idf_of(df, counts.documents)
    norms = 1 - b + b * counts.lengths / counts.lengths.mean()
    occurrences = worth(counts.frequencies.astype(np.float64), norms[counts.positions], k1, delta)
    return Postings(counts, idf, np.repeat(idf, counts.document_frequencies) * occurrences)


def weigh_okapi(counts: TermCounts, okapi: BM25Okapi) -> Postings:
    """Return postings weighed as `okapi.get_scores` weighs, operation by operation."""
    idf = np.array([okapi.idf[term] for term in counts.terms], dtype=np.float64)
    tf, lengths = counts.frequencies, counts.lengths[counts.positions]
    k1, b = okapi.k1, okapi.b
    saturation = tf * (k1 + 1) / (tf + k1 * (1 - b + b * lengths / okapi.avgdl))
    return Postings(counts, idf, np.repeat(idf, counts.document_frequencies) * saturation)
