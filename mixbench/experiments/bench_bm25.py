"""`mixbench bench bm25`: our postings against rank-bm25, and bm25s where it is installed.

All are given the same terms, drawn from a Zipf distribution: no analyser enters. Ours returns the best k and
their ids; rank-bm25's get_scores returns scores only, without choosing the best, which flatters it.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from rank_bm25 import BM25Okapi

from mixbench.errors import InputError
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.bench import TimedWork, take_turns
from mixbench.experiments.bench_report import BenchReport, BenchRow
from mixbench.retrievers.bm25 import BM25

MEAN_LENGTH = 145
"""Terms a document, on average; about that of BEIR's abstracts."""
QUERY_LENGTHS = (2, 10)
VOCABULARY = 200_000
WARMUP = 3
K1, B = 0.9, 0.4

Search = tuple[str, str, Callable[[Sequence[str]], object]]
"""Name, settings, and what it does with a query's terms."""


def bench_bm25(
    documents: int = 50_000, queries: int = 50, seed: int = 0, *, k: int = 100, command: str = "bench bm25"
) -> BenchReport:
    """Time BM25 (okapi) against rank-bm25 on a synthetic corpus, a query at a time, on one thread.

    Every query's scores are compared too, bit for bit; the report says for how many they are equal.
    Raises InputError where a number is below 1. About a minute and 1 GB at 50,000 documents.
    """
    for name, value in (("documents", documents), ("queries", queries), ("k", k)):
        if value < 1:
            raise InputError(f"{name} is {value!r}; give at least 1")
    texts, asked = synthetic_texts(documents, queries, seed)
    ours = BM25(k1=K1, b=B, variant="okapi")
    ours.index_terms([f"d{i:08}" for i in range(documents)], texts)
    peer = BM25Okapi(texts, k1=K1, b=B)
    equal = sum(ours.scores(terms).tobytes() == peer.get_scores(terms).tobytes() for terms in asked)
    settings = f"okapi, k1 {K1}, b {B}"
    searches: list[Search] = [
        ("mixbench", f"{settings}, best {k}", lambda terms: ours.search_terms(terms, k)),
        (f"rank-bm25 {version('rank-bm25')}", f"{settings}, scores only", peer.get_scores),
    ]
    notes = [f"scores equal to rank-bm25's bit for bit: {equal} of {queries} queries"]
    if find_spec("bm25s") is None:
        notes.append("bm25s is not installed and was left out")
    else:
        searches.append(bm25s_search(texts, k))
    rows = _time_queries(searches, asked, notes)
    return BenchReport(
        title="BM25, one query at a time",
        unit="queries",
        settings={
            "documents": documents,
            "terms a document": round(sum(map(len, texts)) / documents, 1),
            "queries": queries,
            "terms a query": "{} to {}".format(*QUERY_LENGTHS),
            "k": k,
            "threads": 1,
            "warm-up queries": min(WARMUP, queries),
            "seed": seed,
        },
        rows=rows,
        against=[row.name for row in rows[1:]],
        notes=notes,
        provenance=describe_run(command=command, device="cpu", seed=seed).model_dump(exclude={"threads"}),
    )


def _time_queries(
    searches: Sequence[Search], asked: Sequence[Sequence[str]], notes: list[str]
) -> list[BenchRow]:
    """Return a row for each of `searches`, which take turns at each query: a round is one query."""

    def through(queries: Sequence[Sequence[str]]) -> list[TimedWork]:
        left = [(search, iter(queries)) for search in searches]
        return [
            TimedWork(name, how, lambda search=search, own=own: search(next(own)))  # type: ignore[misc]
            for (name, how, search), own in left
        ]

    take_turns(through(asked[:WARMUP]), len(asked[:WARMUP]), notes, tell=_nobody)
    contenders = through(asked)
    seconds = take_turns(contenders, len(asked), notes, tell=_nobody)
    return [
        BenchRow(name=each.name, settings=each.settings, seconds=times)
        for each, times in zip(contenders, seconds, strict=True)
    ]


def _nobody(message: str) -> None:
    """Tell nobody of a turn: there are many, and each is short."""


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


def bm25s_search(texts: list[list[str]], k: int) -> Search:
    """Return bm25s with its numpy engine, and its idf nearest to ours: its scores are not compared."""
    import bm25s

    index = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numpy")
    index.index(texts, show_progress=False)
    best = min(k, len(texts))

    def search(terms: Sequence[str]) -> object:
        return index.retrieve(
            [list(terms)], k=best, show_progress=False, n_threads=0, backend_selection="numpy"
        )

    return f"bm25s {version('bm25s')}", f"lucene, k1 {K1}, b {B}, numpy, best {k}", search
