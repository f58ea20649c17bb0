"""A synthetic corpus of terms, drawn from a Zipf distribution, and queries: for timing lexical retrieval."""

from typing import Any

import numpy as np

MEAN_LENGTH = 145
"""Terms a document, on average; about that of BEIR's abstracts."""
QUERY_LENGTHS = (2, 10)
VOCABULARY = 200_000


def synthetic_texts(documents: int, queries: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Return the terms of documents and of queries, drawn by rank r with probability proportional to 1/r.

    A document's length is log-normal with mean MEAN_LENGTH, a query's uniform over QUERY_LENGTHS.
    """
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, VOCABULARY + 1)
    chances /= chances.sum()
    names = np.array([f"t{rank}" for rank in range(VOCABULARY)], dtype=object)

    def draw(lengths: Any) -> list[list[str]]:
        terms = names[rng.choice(VOCABULARY, size=int(lengths.sum()), p=chances)]
        return [text.tolist() for text in np.split(terms, np.cumsum(lengths)[:-1])]

    spread = 0.5
    lengths = rng.lognormal(np.log(MEAN_LENGTH) - spread**2 / 2, spread, documents)
    shortest, longest = QUERY_LENGTHS
    return draw(np.maximum(1, lengths.astype(int))), draw(rng.integers(shortest, longest + 1, queries))
