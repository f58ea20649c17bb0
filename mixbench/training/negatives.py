"""Hard negatives: positives of other queries that a retriever ranks high for a query.

Mining is positive-aware. What scores almost as high as the positive is likely to be another answer that
nobody marked, so a candidate is dropped where its score is above `relative` times the positive's, under the
retriever that found it. This holds for BM25's sums as for cosines. Source of the idea: NV-Retriever,
https://arxiv.org/abs/2407.15831, TopK-PercPos.

Where the positive's score is below 0, its distance from 0 grows by 1 - `relative` instead, so that the limit
is always below the positive. Where the positive is not among the first `depth`, all of those score at least
as much, and all are dropped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from mixbench.data import Document
from mixbench.data.pairs import Pairs, normalise
from mixbench.errors import InputError
from mixbench.interop.trec import trec_order
from mixbench.retrievers import Retriever

QUERIES_AT_ONCE = 10_000
"""Queries whose whole rankings are held at once."""


@dataclass(frozen=True, kw_only=True)
class MiningConfig:
    """At most `negatives` a pair, from the ranks after the first `skip` up to `depth`, positives counted.

    Raises InputError for numbers that leave no candidate, and for a `relative` outside (0, 1].
    """

    negatives: int = 4
    skip: int = 0
    depth: int = 50
    relative: float = 0.95

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise InputError(f"negatives is {self.negatives!r}; mine at least 1 a pair")
        if not 0 <= self.skip < self.depth:
            raise InputError(f"skip is {self.skip!r} and depth {self.depth!r}; skip fewer ranks than depth")
        if not 0 < self.relative <= 1:
            raise InputError(f"relative is {self.relative!r}; give a number above 0 and at most 1")


@dataclass
class Candidates:
    """What one retriever gives to each pair: numbers of texts, best first; and how many it dropped, why."""

    found: list[list[int]]
    too_high: int = 0
    """Candidates that score above the limit of their pair."""
    known: int = 0
    """Candidates that are the query, its positive or another positive of it."""


class PairCollection:
    """The distinct positives of a source as a corpus, with what is known to answer each query.

    Texts are the same, and queries too, where `normalise` makes them so.
    """

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        numbers: dict[str, int] = {}
        self.texts: list[str] = []
        for positive in pairs.positives:
            if numbers.setdefault(normalise(positive), len(numbers)) == len(self.texts):
                self.texts.append(positive)
        self.positives = [numbers[normalise(positive)] for positive in pairs.positives]
        self._known: dict[str, set[int]] = {}
        self._positions: dict[str, list[int]] = {}
        for position, query in enumerate(pairs.queries):
            key = normalise(query)
            known = self._known.setdefault(key, {numbers[key]} if key in numbers else set())
            known.add(self.positives[position])
            self._positions.setdefault(query, []).append(position)

    @property
    def queries(self) -> Sequence[str]:
        """The distinct queries, as they are spelt."""
        return list(self._positions)

    def search(self, retriever: Retriever, config: MiningConfig) -> Candidates:
        """Return the candidates of each pair that `retriever` finds and the filter leaves.

        Raises MixbenchError for a score that is no finite number.
        """
        corpus = [Document(f"{number:09d}", "", text) for number, text in enumerate(self.texts)]
        retriever.index(corpus)
        kept = Candidates([[] for _ in self.positives])
        queries = self.queries
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            block = queries[start : start + QUERIES_AT_ONCE]
            for query, found in zip(block, retriever.search(block, config.depth), strict=True):
                ranking = trec_order(found, source=repr(retriever.name))[: config.depth]
                scores = {int(doc_id): score for doc_id, score in ranking}
                for position in self._positions[query]:
                    self._filter(position, scores, config, kept)
        return kept

    def _filter(
        self, position: int, scores: Mapping[int, float], config: MiningConfig, kept: Candidates
    ) -> None:
        """Add to `kept` what remains for one pair of `scores`, by number of the text and best first."""
        known = self._known[normalise(self.pairs.queries[position])]
        limit = score_limit(scores.get(self.positives[position]), config.relative)
        for number, score in list(scores.items())[config.skip :]:
            if number in known:
                kept.known += 1
            elif score > limit:
                kept.too_high += 1
            elif len(kept.found[position]) < config.negatives:
                kept.found[position].append(number)


def score_limit(positive: float | None, relative: float) -> float:
    """Return the highest score that a negative may have; `positive` is None where it was not found."""
    if positive is None:
        return float("-inf")
    return positive * relative if positive >= 0 else positive * (2 - relative)


def merge_in_turn(lists: Sequence[Sequence[int]], count: int) -> list[int]:
    """Return `count` distinct numbers: the first of each list, then the second of each, and so on."""
    turns = (number for turn in zip_longest(*lists) for number in turn if number is not None)
    return list(dict.fromkeys(turns))[:count]
