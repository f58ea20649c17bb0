"""`mixbench bench search`: our exact search over embeddings beside faiss and the search of mteb.

All have the same float32 vectors of unit length and return the best k by dot product: ours ids, best first
and ties settled; faiss positions, best first; mteb ids, in no order. Recall is the share of ours that a peer
found.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from mixbench.data import Document
from mixbench.errors import InputError, UnknownName
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.bench import TimedWork, take_turns, torch_threads
from mixbench.experiments.bench_report import BenchReport, BenchRow
from mixbench.experiments.bench_search_faiss import INDEXES, build
from mixbench.experiments.lineage import command_line
from mixbench.retrievers.embeddings import EmbeddingIndex

CHUNK_SIZE = 50_000
"""Documents that ours scores at a time, as DenseRetriever does; mteb's number too."""
COLUMNS = {"recall": "{recall:.4f}", "cold s": "{cold_seconds:.2f}", "memory": "{memory_mb:,.0f} MB"}


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What is searched, and how it is timed; `threads` of None are those that torch has.

    Raises InputError for a number that is too low, and for more documents asked for than there are.
    Raises UnknownName for another index of `faiss` than there are.
    """

    documents: int = 100_000
    dimension: int = 384
    queries: int = 100
    k: int = 100
    rounds: int = 5
    warm_up: int = 1
    threads: int | None = None
    seed: int = 0
    faiss: tuple[str, ...] = ("flat",)

    def __post_init__(self) -> None:
        numbers = {name: value for name, value in asdict(self).items() if name not in ("seed", "faiss")}
        InputError.check_least(1, **numbers)
        for kind in self.faiss:
            if kind not in INDEXES:
                raise UnknownName.of("index of faiss", kind, INDEXES)
        if self.k > self.documents:
            raise InputError(f"k is {self.k!r}, of {self.documents} documents; give at most that")


class SearchContender(TimedWork):
    """A search, which returns what `ids` reads the ids from; `found` are those of the last round."""

    def __init__(
        self, name: str, settings: str, search: Callable[[], Any], ids: Callable[[Any], Iterable[str]]
    ) -> None:
        super().__init__(name, settings, self._keep)
        self._search, self._ids = search, ids
        self._last: Sequence[Any] = ()

    def _keep(self) -> None:
        self._last = ()  # so that two results are never held at once
        self._last = self._search()

    @property
    def found(self) -> list[frozenset[str]]:
        """The ids found for each query."""
        return [frozenset(self._ids(each)) for each in self._last]


def bench_search(settings: SearchSettings) -> BenchReport:
    """Time the search of all queries at once, by ours and by the peers that are installed.

    Vectors take 4 bytes a dimension, and as many again in faiss.
    """
    with torch_threads(settings.threads) as threads:
        documents_ND = unit_vectors(settings.documents, settings.dimension, settings.seed)
        queries_QD = unit_vectors(settings.queries, settings.dimension, settings.seed + 1)
        doc_ids = [f"d{number:09}" for number in reversed(range(settings.documents))]
        notes: list[str] = []
        contenders = [
            _ours(doc_ids, documents_ND, queries_QD, settings.k),
            *_faiss(doc_ids, documents_ND, queries_QD, settings.k, settings.faiss, threads, notes),
            *_mteb(doc_ids, documents_ND, queries_QD, settings.k, notes),
        ]
        cold = take_turns(contenders, settings.warm_up, notes, called="warm-up")
        seconds = take_turns(contenders, settings.rounds, notes)
    exact = contenders[0].found
    rows = [
        _row(contender, times, warming[0], exact)
        for contender, times, warming in zip(contenders, seconds, cold, strict=True)
    ]
    provenance = describe_run(command=command_line(sys.argv[1:]), device="cpu", seed=settings.seed)
    return BenchReport(
        title="Search over embeddings, all queries at once",
        unit="queries",
        per_round=settings.queries,
        settings=asdict(settings) | {"threads": threads, "dtype": "float32", "chunk_size": CHUNK_SIZE},
        rows=rows,
        against=[row.name for row in rows[1:]],
        columns=COLUMNS,
        notes=notes,
        provenance=provenance.model_dump(),
    )


def unit_vectors(count: int, dimension: int, seed: int) -> Tensor:
    """Return float32 vectors (count, dimension) of unit length whose directions are uniform."""
    vectors = torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=1)


def _ours(doc_ids: Sequence[str], documents_ND: Tensor, queries_QD: Tensor, k: int) -> SearchContender:
    index = EmbeddingIndex("synthetic", "dot", CHUNK_SIZE)
    starts = iter(range(0, len(doc_ids), CHUNK_SIZE))
    index.fill(
        [Document(doc_id, "", "") for doc_id in doc_ids],
        lambda chunk: documents_ND[(start := next(starts)) : start + len(chunk)],
    )
    texts = [""] * len(queries_QD)
    return SearchContender(
        "mixbench",
        "scores rounded from float64, ties settled",
        lambda: index.search(texts, k, lambda _: queries_QD),
        lambda ranking: (doc_id for doc_id, _ in ranking),
    )


def _faiss(
    doc_ids: Sequence[str],
    documents_ND: Tensor,
    queries_QD: Tensor,
    k: int,
    kinds: Sequence[str],
    threads: int,
    notes: list[str],
) -> list[SearchContender]:
    if find_spec("faiss") is None:
        notes.append("faiss is not installed and was left out; pip install 'mixbench[faiss]'")
        return []
    import faiss

    faiss.omp_set_num_threads(threads)
    contenders = []
    for kind in kinds:
        how, note, search = build(kind, documents_ND.numpy())
        notes.append(note)
        contenders.append(
            SearchContender(
                f"faiss {faiss.__version__} {kind}",
                how,
                partial(search, queries_QD.numpy(), k),
                lambda positions: (doc_ids[position] for position in positions if position >= 0),
            )
        )
    return contenders


def _mteb(
    doc_ids: Sequence[str], documents_ND: Tensor, queries_QD: Tensor, k: int, notes: list[str]
) -> list[SearchContender]:
    if find_spec("mteb") is None:
        notes.append("mteb is not installed and was left out; pip install mteb")
        return []
    from mixbench.interop.mteb.search import search_by_mteb

    return [
        SearchContender(
            f"mteb {version('mteb')}",
            "chunked_full_corpus_search, scores in float32",
            lambda: search_by_mteb(doc_ids, documents_ND, queries_QD, k),
            lambda best: (doc_id for _, doc_id in best),
        )
    ]


def _row(
    contender: SearchContender, seconds: Sequence[float], cold: float, exact: Sequence[frozenset[str]]
) -> BenchRow:
    shared = sum(len(own & best) for own, best in zip(contender.found, exact, strict=True))
    figures = {
        "recall": shared / sum(map(len, exact)),
        "cold_seconds": cold,
        "memory_bytes": contender.memory_bytes,
        "memory_mb": contender.memory_bytes / 1e6,
    }
    return BenchRow(name=contender.name, settings=contender.settings, seconds=seconds, figures=figures)
