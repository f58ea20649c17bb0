"""Fusion: one ranking from those of several systems.

    rrf      the sum of 1 / (k + rank) over the systems
    minmax   the sum of their min-max normalised scores
    sum      the same, each system's score times its weight

Each system is asked for its `depth` best documents, however few are wanted in the end, so that the best ten
are the first ten of the best hundred. `candidates` says what becomes of ties, equal scores and documents that
only one system found. A system without any ranking for a query leaves that query to the others.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.interop.trec import trec_order
from mixbench.retrievers.candidates import Candidates, min_max, reciprocal_ranks
from mixbench.retrievers.protocol import Ranking, Retriever

Method = Literal["rrf", "minmax", "sum"]
DEPTH = 1000


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What weights were learned from: the judged queries of a split, and the metric they were to raise."""

    task: str
    split: str
    data_sha256: str
    metric: str


class Fusion:
    """Several retrievers as one; a `Retriever` itself, so that fusions may be fused.

    `weights`, one for each retriever, belong to "sum"; `k` is that of "rrf". Weights that were learned come
    with their `lesson`: its task is then one of the training sources.
    Raises UnknownName for another method, and InputError for fewer than two retrievers, weights that do not
    fit (missing, negative, none above 0), a `k` below 0 or a `depth` below 1.
    """

    def __init__(
        self,
        retrievers: Sequence[Retriever],
        *,
        method: Method,
        weights: Sequence[float] | None = None,
        k: float = 60,
        depth: int = DEPTH,
        lesson: Lesson | None = None,
        name: str | None = None,
    ) -> None:
        if method not in get_args(Method):
            raise UnknownName.of("method of fusion", method, get_args(Method))
        if len(retrievers) < 2:
            raise InputError(f"a fusion of {len(retrievers)} retrievers; give it two or more")
        if not (math.isfinite(k) and k >= 0) or depth < 1:
            raise InputError(f"k is {k!r} and depth {depth!r}; give a k from 0 and a depth from 1")
        self.retrievers, self.method, self.k, self.depth = [*retrievers], method, k, depth
        self.lesson = lesson
        self.weights = _checked(weights, method, len(retrievers))
        self.name = name or _name(method, [each.name for each in retrievers], weights)
        self.query_ids: Sequence[str] | None = None

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Method, depth and weights, and the recipe of each retriever."""
        settings: dict[str, Any] = {"k": self.k} if self.method == "rrf" else {}
        if self.method == "sum":
            settings["weights"] = self.weights
        if self.lesson:
            settings["learned_from"] = asdict(self.lesson)
        return {
            "kind": "fusion",
            "method": self.method,
            "depth": self.depth,
            **settings,
            "retrievers": [dict(each.recipe) for each in self.retrievers],
        }

    @property
    def training_sources(self) -> Sequence[str] | None:
        """What any of the retrievers, or the weights, were trained on; None where one does not say."""
        sources = {self.lesson.task} if self.lesson else set()
        for each in self.retrievers:
            if each.training_sources is None:
                return None
            sources.update(each.training_sources)
        return sorted(sources)

    @property
    def parameters(self) -> int:
        """Parameters of all retrievers together."""
        return sum(each.parameters for each in self.retrievers)

    @property
    def index_bytes(self) -> int:
        """Bytes of all indexes together."""
        return sum(each.index_bytes for each in self.retrievers)

    @property
    def truncated_share(self) -> float | None:
        """The largest share of documents that a retriever says it read cut; None where none says."""
        shares = [getattr(each, "truncated_share", None) for each in self.retrievers]
        return max((share for share in shares if share is not None), default=None)

    @property
    def flops_per_document(self) -> float | None:
        """Operations of all retrievers together; None where one does not say."""
        flops = [getattr(each, "flops_per_document", None) for each in self.retrievers]
        said = [each for each in flops if each is not None]
        return sum(said) if len(said) == len(flops) else None

    @property
    def advance(self) -> Callable[[int], None]:
        """The function that is told of texts done: one text when all retrievers that tell have done it."""
        return self._advance if hasattr(self, "_advance") else lambda texts: None

    @advance.setter
    def advance(self, tell: Callable[[int], None]) -> None:
        self._advance = tell
        telling = [each for each in self.retrievers if hasattr(each, "advance")]
        done = 0

        def share(texts: int) -> None:
            nonlocal done
            before, done = done, done + texts
            tell(done // len(telling) - before // len(telling))

        for each in telling:
            each.advance = share

    def with_retrievers(self, retrievers: Sequence[Retriever]) -> "Fusion":
        """Return the same fusion of as many other retrievers."""
        other = copy.copy(self)
        other.retrievers = [*retrievers]
        return other

    def index(self, corpus: Sequence[Document]) -> None:
        """Replace each retriever's index by one of `corpus`."""
        for each in self.retrievers:
            each.index(corpus)

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """Return at most `k` documents for each query: of those that any retriever ranks, the best."""
        return [found.ranked(self.weights, k) for found in self.candidates(queries)]

    def candidates(self, queries: Sequence[str]) -> list[Candidates]:
        """Return for each query what each retriever gives to each document, before weights.

        Raises MixbenchError for a retriever whose ranking has a score that is no finite number, or a document
        twice, or that loses a query.
        """
        query_ids, self.query_ids = self.query_ids, None
        rankings = [self._search(each, queries, query_ids) for each in self.retrievers]
        shares = reciprocal_ranks(self.k) if self.method == "rrf" else min_max
        return [Candidates(found, shares) for found in zip(*rankings, strict=True)]

    def _search(
        self, retriever: Retriever, queries: Sequence[str], query_ids: Sequence[str] | None
    ) -> list[Ranking]:
        if hasattr(retriever, "query_ids"):
            retriever.query_ids = query_ids
        found = retriever.search(queries, self.depth)
        if len(found) != len(queries):
            problem = f"{retriever.name!r} gave {len(found)} rankings for {len(queries)} queries"
            raise MixbenchError(f"{problem}; repair the retriever")
        return [trec_order(ranking, source=repr(retriever.name))[: self.depth] for ranking in found]


def _checked(weights: Sequence[float] | None, method: Method, retrievers: int) -> list[float]:
    """Return a weight for each retriever."""
    if (weights is not None) != (method == "sum"):
        wanted = "give each retriever its weight" if method == "sum" else "weights belong to 'sum'"
        raise InputError(f"fusion by {method!r} with weights {weights!r}; {wanted}")
    if weights is None:
        return [1.0] * retrievers
    if len(weights) != retrievers:
        raise InputError(f"{len(weights)} weights for {retrievers} retrievers; give each one")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise InputError(f"weights {[*weights]!r}; give numbers from 0, and one above it")
    return [float(weight) for weight in weights]


def _name(method: Method, names: Sequence[str], weights: Sequence[float] | None) -> str:
    """Return as "rrf-bm25+mixer-tiny", or "sum-bm25=0.3+mixer-tiny=0.7"."""
    if weights is not None:
        names = [f"{name}={weight:g}" for name, weight in zip(names, weights, strict=True)]
    return f"{method}-{'+'.join(names)}"
