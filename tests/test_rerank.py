"""Reranking: the best documents in a new order, the rest below them as they were."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from in_order import InOrder
from word_overlap import CORPUS, WordOverlap

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.evaluation.metrics import trec_order
from mixbench.retrievers import Ranking
from mixbench.retrievers.bm25 import BM25
from mixbench.retrievers.rerank import Reranked

SEA = "what moves the sea"


class Scored:
    """A scorer that asks `rule` for the score of each pair."""

    name = "scored"
    parameters = 3
    training_sources: Sequence[str] | None = ("b", "c")

    def __init__(self, rule: Callable[[str, str], float], model_sha256: str = "1") -> None:
        self.rule = rule
        self.recipe: Mapping[str, Any] = {"kind": "rule", "model_sha256": model_sha256}

    def score(
        self,
        queries: Sequence[str],
        candidates: Sequence[Sequence[Document]],
        advance: Callable[[int], None],
    ) -> list[list[float]]:
        scores = []
        for query, documents in zip(queries, candidates, strict=True):
            scores.append([self.rule(query, document.content) for document in documents])
            advance(len(documents))
        return scores


def overlap(query: str, text: str) -> float:
    return len(set(query.lower().split()) & set(text.lower().split()))


def reranked(rule: Callable[[str, str], float], depth: int, order: str = "d3 d2 d1 q1") -> Reranked:
    """Documents in a given order, reranked; their overlap with SEA is d1: 3, d2: 2, d3: 0, q1: 4."""
    system = Reranked(InOrder(), Scored(rule), depth=depth)
    corpus = {document.doc_id: document for document in CORPUS}
    system.index([corpus[doc_id] for doc_id in order.split()])
    return system


def documents(**texts: str) -> list[Document]:
    return [Document(doc_id, "", text) for doc_id, text in texts.items()]


# The order


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (1, [("d3", 0.0), ("d2", -1.0), ("d1", -2.0), ("q1", -3.0)]),
        (2, [("d2", 2.0), ("d3", 0.0), ("d1", -1.0), ("q1", -2.0)]),
        (3, [("d1", 3.0), ("d2", 2.0), ("d3", 0.0), ("q1", -1.0)]),
        (4, [("q1", 4.0), ("d1", 3.0), ("d2", 2.0), ("d3", 0.0)]),
        (9, [("q1", 4.0), ("d1", 3.0), ("d2", 2.0), ("d3", 0.0)]),
    ],
)
def test_the_best_are_ranked_by_the_new_scores_and_the_rest_follow_as_they_were(
    depth: int, expected: Ranking
) -> None:
    assert reranked(overlap, depth).search([SEA], 10) == [expected]


def test_a_reranker_looks_deeper_than_what_is_asked_for() -> None:
    assert reranked(overlap, 4).search([SEA], 1) == [[("q1", 4.0)]]
    assert reranked(overlap, 2).search([SEA], 3) == [[("d2", 2.0), ("d3", 0.0), ("d1", -1.0)]]


def test_each_query_is_reranked_by_its_own_scores() -> None:
    flour = [("d3", 2.0), ("q1", 0.0), ("d2", 0.0), ("d1", 0.0)]
    found = reranked(overlap, 4).search(["zebra", "bread flour"], 10)
    assert found == [[("q1", 0.0), ("d3", 0.0), ("d2", 0.0), ("d1", 0.0)], flour]


def test_scores_that_are_equal_as_float32_rank_by_descending_doc_id() -> None:
    close = {"d1": 1.0, "d2": 1.0 + 1e-9, "d3": -0.0, "q1": 0.0}
    texts = {document.content: close[document.doc_id] for document in CORPUS}
    (ranking,) = reranked(lambda query, text: texts[text], 4).search([SEA], 10)
    assert [doc_id for doc_id, _ in ranking] == ["d2", "d1", "q1", "d3"]


@pytest.mark.parametrize("score", [0.0, -0.0, 1e-30, -1e-30, 0.3, -3e7, 3e7, 1e30, -1e30])
def test_scores_below_the_reranked_ones_say_the_same_order_to_trec_eval(score: float) -> None:
    system = Reranked(InOrder(), Scored(lambda query, text: score), depth=2)
    system.index(documents(**{f"d{number:03}": "text" for number in range(120)}))
    (ranking,) = system.search(["query"], 120)
    assert [doc_id for doc_id, _ in ranking] == ["d001", "d000", *(f"d{n:03}" for n in range(2, 120))]
    assert trec_order(ranking) == ranking


def test_an_empty_ranking_stays_empty() -> None:
    system = Reranked(WordOverlap(), Scored(overlap), depth=2)
    system.index(CORPUS)
    assert system.search(["zebra", "flour"], 5) == [[], [("d3", 1.0)]]
    assert system.search(["zebra"], 5) == [[]]
    assert system.search([], 5) == []


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf"), 1e39])
def test_a_score_that_is_no_number_is_an_error_that_names_query_and_document(score: float) -> None:
    system = reranked(lambda query, text: score if "salt" in text else 0.0, 1, order="d2 d1")
    with pytest.raises(MixbenchError, match=r"scores document 'd2' .* for query 'what moves the sea'"):
        system.search([SEA], 5)


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_one_is_refused(depth: int) -> None:
    with pytest.raises(InputError, match=f"rerank depth is {depth}; rerank at least 1"):
        Reranked(InOrder(), Scored(overlap), depth=depth)


def test_a_k_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="k is 0"):
        reranked(overlap, 2).search([SEA], 0)


# What it says of itself


def test_it_is_called_after_both_and_adds_up_what_both_have() -> None:
    system = reranked(overlap, 2)
    assert (system.name, system.parameters, system.index_bytes) == ("in-order@scored", 5, 5)
    assert system.training_sources == ["a", "b", "c"]


@pytest.mark.parametrize("silent", ["first", "scorer"])
def test_where_nobody_says_what_one_was_trained_on_nobody_says_it_of_both(silent: str) -> None:
    system = reranked(overlap, 2)
    getattr(system, silent).training_sources = None
    assert system.training_sources is None


def test_the_recipe_holds_both_recipes_and_differs_with_each_setting() -> None:
    def system(b: float = 0.4, sha256: str = "1", depth: int = 10) -> Reranked:
        return Reranked(BM25(b=b), Scored(overlap, sha256), depth=depth)

    assert system().recipe == {
        "kind": "reranked",
        "first": BM25().recipe,
        "scorer": {"kind": "rule", "model_sha256": "1"},
        "depth": 10,
    }
    changed = [system(b=0.5), system(sha256="2"), system(depth=11)]
    assert len({json.dumps(each.recipe, sort_keys=True) for each in [system(), *changed]}) == 4


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_progress_tells_of_each_document_once_and_of_each_query_once_it_is_reranked(depth: int) -> None:
    told: list[int] = []
    system = Reranked(InOrder(), Scored(overlap), depth=depth)
    system.advance = told.append
    system.index(CORPUS)
    assert told == [1, 1, 1, 1]
    told.clear()
    system.search([SEA, "flour", "zebra"], 4)
    assert told == [1, 1, 1]
