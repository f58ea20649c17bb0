"""Who takes part in `mixbench bench bm25`: ours, rank-bm25, and bm25s by each engine that is installed.

Ours and rank-bm25 have the formula okapi; bm25s has lucene, the idf nearest to it, and is not compared in its
scores. Ours returns the best k and their ids; rank-bm25's get_scores returns scores only, without choosing
the best, which flatters it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from rank_bm25 import BM25Okapi

from mixbench.retrievers.bm25 import BM25

K1, B = 0.9, 0.4
OKAPI, LUCENE = (f"{formula}, k1 {K1}, b {B}" for formula in ("okapi", "lucene"))
Texts = Sequence[Sequence[str]]
"""Texts as terms."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A BM25: `index` takes documents, `search` that index, queries and k, all at once."""

    name: str
    settings: str
    index: Callable[[Texts], Any]
    search: Callable[[Any, Texts, int], object]
    returned: str = ""
    """What comes of a search, where that is not the best k."""


def engines(notes: list[str]) -> list[Engine]:
    """Return ours, then its peers; those that are not installed are named in `notes`."""
    found = [
        Engine(name="mixbench", settings=OKAPI, index=index_ours, search=_search_ours),
        Engine(
            name=f"rank-bm25 {version('rank-bm25')}",
            settings=OKAPI,
            index=lambda texts: BM25Okapi(texts, k1=K1, b=B),
            search=lambda index, queries, _: [index.get_scores(terms) for terms in queries],
            returned="scores only",
        ),
    ]
    if find_spec("bm25s") is None:
        notes.append("bm25s is not installed and was left out; pip install 'mixbench[bm25s]'")
        return found
    found.append(_bm25s("numpy"))
    if find_spec("numba") is None:
        notes.append("numba is not installed, so bm25s by numba was left out; pip install 'mixbench[numba]'")
    else:
        found.append(_bm25s("numba"))
    return found


def index_ours(texts: Texts) -> BM25:
    """Return our index of documents called d00000000, d00000001 and so on."""
    ours = BM25(k1=K1, b=B, variant="okapi")
    ours.index_terms([f"d{number:08}" for number in range(len(texts))], texts)
    return ours


def _search_ours(index: BM25, queries: Texts, k: int) -> object:
    return [index.search_terms(terms, k) for terms in queries]


def _bm25s(backend: str) -> Engine:
    import bm25s

    def index(texts: Texts) -> Any:
        made = bm25s.BM25(k1=K1, b=B, method="lucene", backend=backend)
        made.index(texts, show_progress=False)
        return made

    def search(made: Any, queries: Texts, k: int) -> object:
        # 0 is one thread for numpy, and as many as there are for numba.
        return made.retrieve(
            [list(terms) for terms in queries],
            k=k,
            show_progress=False,
            n_threads=0 if backend == "numpy" else 1,
            backend_selection=backend,
        )

    name = f"bm25s {version('bm25s')} {backend}"
    return Engine(name=name, settings=LUCENE, index=index, search=search)
