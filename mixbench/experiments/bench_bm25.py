"""`mixbench bench bm25`: our postings against rank-bm25, and bm25s where it is installed, on one thread.

All are given the same terms, drawn from a Zipf distribution: no analyser enters. Three works can be timed:
"search", a query at a time, where a round is one query; "batch", all queries in one call; "index", all
documents.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from mixbench.errors import InputError, UnknownName
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.bench import TimedWork, take_turns
from mixbench.experiments.bench_bm25_peers import Engine, Texts, engines
from mixbench.experiments.bench_report import BenchReport, BenchRow
from mixbench.experiments.lineage import command_line
from mixbench.experiments.synthetic_terms import QUERY_LENGTHS, synthetic_texts

WORKS = {
    "search": "BM25, one query at a time",
    "batch": "BM25, all queries in one call",
    "index": "BM25, indexing",
}


@dataclass(frozen=True, kw_only=True)
class BM25Settings:
    """What is timed and on how much. Where the work is "search" each query is a round, some of them warm up.

    Raises InputError for a number below 1, UnknownName for another work.
    """

    work: str = "search"
    documents: int = 50_000
    queries: int = 50
    k: int = 100
    rounds: int = 3
    warm_up: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.work not in WORKS:
            raise UnknownName.of("work", self.work, WORKS)
        numbers = {name: value for name, value in asdict(self).items() if name not in ("work", "seed")}
        InputError.check_least(1, **numbers)


def bench_bm25(settings: BM25Settings) -> BenchReport:
    """Time BM25 by ours and its peers on a synthetic corpus.

    Where searches are timed, every query's scores are compared with rank-bm25's, bit for bit; a note says for
    how many they are equal. About a minute and 1 GB at 50,000 documents.
    """
    texts, asked = synthetic_texts(settings.documents, settings.queries, settings.seed)
    notes: list[str] = []
    found = engines(notes)
    if settings.work == "index":
        rows = _time_indexing(found, texts, settings, notes)
    else:
        indexes = [each.index(texts) for each in found]
        notes.insert(0, _compared(indexes[0], indexes[1], asked))
        time = _time_queries if settings.work == "search" else _time_batches
        rows = time(found, indexes, asked, settings, notes)
    lengths = {
        "terms a document": round(sum(map(len, texts)) / settings.documents, 1),
        "terms a query": "{} to {}".format(*QUERY_LENGTHS),
    }
    rounds = {"rounds": len(rows[0].seconds), "threads": 1}
    provenance = describe_run(command=command_line(sys.argv[1:]), device="cpu", seed=settings.seed)
    return BenchReport(
        title=WORKS[settings.work],
        unit="documents" if settings.work == "index" else "queries",
        per_round={"search": 1, "batch": settings.queries, "index": settings.documents}[settings.work],
        settings=asdict(settings) | lengths | rounds,
        rows=rows,
        against=[row.name for row in rows[1:]],
        columns={} if settings.work == "search" else {"memory": "{memory_mb:,.0f} MB"},
        notes=notes,
        provenance=provenance.model_dump(exclude={"threads"}),
    )


def _compared(ours: Any, peer: Any, asked: Texts) -> str:
    equal = sum(ours.scores(terms).tobytes() == peer.get_scores(terms).tobytes() for terms in asked)
    return f"scores equal to rank-bm25's bit for bit: {equal} of {len(asked)} queries"


def _time_queries(
    found: Sequence[Engine], indexes: Sequence[Any], asked: Texts, settings: BM25Settings, notes: list[str]
) -> list[BenchRow]:
    """Return the rows of engines that take turns at each query: a round is one query."""

    def through(queries: Texts) -> list[TimedWork]:
        contenders = []
        for engine, index in zip(found, indexes, strict=True):
            search = partial(_next_query, engine, index, iter(queries), min(settings.k, settings.documents))
            contenders.append(TimedWork(engine.name, _how(engine, settings), search))
        return contenders

    warming = asked[: settings.warm_up]
    take_turns(through(warming), len(warming), notes, tell=_nobody)
    contenders = through(asked)
    return _rows(contenders, take_turns(contenders, len(asked), notes, tell=_nobody))


def _next_query(engine: Engine, index: Any, left: Iterator[Sequence[str]], k: int) -> object:
    return engine.search(index, [next(left)], k)


def _time_batches(
    found: Sequence[Engine], indexes: Sequence[Any], asked: Texts, settings: BM25Settings, notes: list[str]
) -> list[BenchRow]:
    k = min(settings.k, settings.documents)
    contenders = [
        TimedWork(engine.name, _how(engine, settings), partial(engine.search, index, asked, k))
        for engine, index in zip(found, indexes, strict=True)
    ]
    return _in_rounds(contenders, settings, notes)


def _time_indexing(
    found: Sequence[Engine], texts: Texts, settings: BM25Settings, notes: list[str]
) -> list[BenchRow]:
    contenders = [TimedWork(each.name, each.settings, partial(each.index, texts)) for each in found]
    return _in_rounds(contenders, settings, notes)


def _in_rounds(contenders: list[TimedWork], settings: BM25Settings, notes: list[str]) -> list[BenchRow]:
    take_turns(contenders, settings.warm_up, notes, called="warm-up")
    return _rows(contenders, take_turns(contenders, settings.rounds, notes))


def _rows(contenders: Sequence[TimedWork], seconds: Sequence[Sequence[float]]) -> list[BenchRow]:
    return [
        BenchRow(
            name=each.name,
            settings=each.settings,
            seconds=times,
            figures={"memory_bytes": each.memory_bytes, "memory_mb": each.memory_bytes / 1e6},
        )
        for each, times in zip(contenders, seconds, strict=True)
    ]


def _how(engine: Engine, settings: BM25Settings) -> str:
    return f"{engine.settings}, {engine.returned or f'best {settings.k}'}"


def _nobody(message: str) -> None:
    """Tell nobody of a turn: there are many, and each is short."""
