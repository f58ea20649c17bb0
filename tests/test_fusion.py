"""Fusion and stored runs as retrievers: worked by hand, and what must hold whatever the systems."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from word_overlap import CORPUS, QUERIES, WordOverlap, make_data, make_task

from mixbench import BM25, Fusion
from mixbench.data import Document, RetrievalData
from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.evaluation import evaluate
from mixbench.interop.trec import Run
from mixbench.retrievers import Ranking
from mixbench.retrievers.fusion import Lesson
from mixbench.retrievers.run import RunRetriever


def stored(name: str, **rankings: Mapping[str, float]) -> RunRetriever:
    """A stored run of a ranking for each query."""
    run = Run(rankings={query: list(found.items()) for query, found in rankings.items()}, tag=name)
    return RunRetriever(run, name=name)


def fuse(*systems: RunRetriever, query: str = "q", **settings: Any) -> Ranking:
    """Return the fused ranking of one query."""
    fusion = Fusion(systems, **settings)
    fusion.query_ids = [query]
    (ranking,) = fusion.search([""], 100)
    return ranking


def approx(**scores: float) -> list[tuple[str, Any]]:
    return [(doc_id, pytest.approx(score, rel=1e-6)) for doc_id, score in scores.items()]


ONE = stored("one", q={"a": 10.0, "b": 6.0, "c": 2.0})
TWO = stored("two", q={"c": 0.9, "d": 0.4, "a": 0.3})


def test_reciprocal_rank_fusion_by_hand() -> None:
    expected = approx(c=1 / 63 + 1 / 61, a=1 / 61 + 1 / 63, d=1 / 62, b=1 / 62)
    assert fuse(ONE, TWO, method="rrf") == expected
    assert fuse(ONE, TWO, method="rrf", k=0) == approx(c=1 / 3 + 1, a=1 + 1 / 3, d=1 / 2, b=1 / 2)


def test_min_max_fusion_by_hand() -> None:
    assert fuse(ONE, TWO, method="minmax") == approx(c=0 + 1, a=1 + 0, b=0.5, d=(0.4 - 0.3) / (0.9 - 0.3))


def test_a_weighted_sum_by_hand() -> None:
    found = fuse(ONE, TWO, method="sum", weights=[0.75, 0.25])
    assert found == approx(a=0.75, b=0.375, c=0.25, d=0.25 / 6)


def test_where_all_scores_of_a_ranking_are_equal_each_document_gets_one() -> None:
    assert fuse(ONE, stored("flat", q={"x": 3.0, "b": 3.0}), method="minmax") == approx(b=1.5, x=1, a=1, c=0)
    assert fuse(ONE, stored("single", q={"c": -7.0}), method="minmax") == approx(c=1, a=1, b=0.5)


def test_an_empty_ranking_leaves_the_query_to_the_others() -> None:
    silent = stored("silent", p={"z": 1.0})
    assert fuse(ONE, stored("empty", q={}), method="minmax") == approx(a=1, b=0.5, c=0)
    fusion = Fusion([ONE, TWO], method="rrf")
    fusion.query_ids = ["q", "p"]
    assert fusion.search(["", ""], 9)[1] == []
    with pytest.raises(MixbenchError, match="'silent' ranks none of these 1 queries"):
        fuse(ONE, silent, method="rrf")


def test_only_the_best_documents_of_each_system_are_looked_at() -> None:
    assert fuse(ONE, TWO, method="rrf", depth=1) == approx(c=1 / 61, a=1 / 61)
    assert fuse(ONE, TWO, method="minmax", depth=2) == approx(c=1, a=1, d=0, b=0)


def test_a_system_that_gives_more_than_it_was_asked_for_is_cut() -> None:
    class Generous(WordOverlap):
        def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
            return super().search(queries, 100)

    fusion = Fusion([Generous(), Generous()], method="rrf", depth=1)
    fusion.index(CORPUS)
    assert fusion.search(["the salt sea"], 100) == [approx(d2=2 / 61)]


def random_run(name: str, seed: int) -> RunRetriever:
    rng = random.Random(seed)
    documents = rng.sample([f"d{number:02}" for number in range(60)], 40)
    return stored(name, q={doc_id: rng.randint(0, 12) / 4 for doc_id in documents})


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("method", ["rrf", "minmax"])
def test_a_system_fused_with_itself_keeps_its_ranking(method: str, seed: int) -> None:
    system = random_run("one", seed)
    system.query_ids = ["q"]
    (alone,) = system.search([""], 100)
    both = [doc_id for doc_id, _ in fuse(system, system, method=method)]
    assert both == [doc_id for doc_id, _ in alone]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("method", ["rrf", "minmax", "sum"])
def test_the_order_of_the_systems_does_not_matter(method: str, seed: int) -> None:
    systems = [random_run(str(number), 10 * seed + number) for number in range(4)]
    weights = [0.1, 0.2, 0.3, 0.4] if method == "sum" else None
    order = random.Random(seed).sample(range(4), 4)
    shuffled = weights and [weights[number] for number in order]
    expected = fuse(*systems, method=method, weights=weights)
    assert fuse(*(systems[number] for number in order), method=method, weights=shuffled) == expected


def test_the_order_does_not_matter_where_rounding_would_make_it() -> None:
    weights = [1.0, 2**-24, 2**-53, 2**-53]  # added from the left the last two are lost, and 1 is left
    systems = [stored(str(number), q={"a": 1.0}) for number in range(4)]
    for ordered in (weights, weights[::-1]):
        assert fuse(*systems, method="sum", weights=ordered) == [("a", 1 + 2**-23)]


@pytest.mark.parametrize("seed", range(20))
def test_the_best_ten_are_the_first_ten_of_all_ties_included(seed: int) -> None:
    fusion = Fusion([random_run("one", seed), random_run("two", seed + 100)], method="minmax")
    found = []
    for k in (10, 100):
        fusion.query_ids = ["q"]
        found += fusion.search([""], k)
    assert found[0] == found[1][:10]
    assert found[1] == sorted(found[1], key=lambda entry: (entry[1], entry[0]), reverse=True)


def test_a_fusion_says_of_itself_what_its_systems_say() -> None:
    one = WordOverlap("one", training_sources=("squad", "sea"))
    two = WordOverlap("two", weight=2.0, training_sources=("wiki", "sea"))
    fusion = Fusion([one, two], method="sum", weights=[1, 3])
    fusion.index(CORPUS)
    assert fusion.name == "sum-one=1+two=3"
    assert fusion.parameters == 2
    assert fusion.index_bytes == 2 * one.index_bytes > 0
    assert fusion.training_sources == ["sea", "squad", "wiki"]
    assert fusion.recipe == {
        "kind": "fusion",
        "method": "sum",
        "depth": 1000,
        "weights": [1.0, 3.0],
        "retrievers": [{"weight": 1.0, "model_sha256": ""}, {"weight": 2.0, "model_sha256": ""}],
    }
    assert Fusion([one, ONE], method="rrf").training_sources is None
    assert Fusion([one, two], method="rrf").recipe["k"] == 60


def test_whatever_changes_a_ranking_changes_the_recipe() -> None:
    systems = [WordOverlap(), BM25()]
    lesson = Lesson(task="toy/sea", split="dev", data_sha256="aa", metric="ndcg_at_10")
    recipes = [
        Fusion(systems, method="rrf").recipe,
        Fusion(systems, method="rrf", k=10).recipe,
        Fusion(systems, method="rrf", depth=10).recipe,
        Fusion([WordOverlap(weight=2), BM25()], method="rrf").recipe,
        Fusion(systems, method="minmax").recipe,
        Fusion(systems, method="sum", weights=[1, 2]).recipe,
        Fusion(systems, method="sum", weights=[1, 2], lesson=lesson).recipe,
    ]
    assert all(recipes.count(recipe) == 1 for recipe in recipes)


def test_weights_learned_on_a_task_make_its_result_in_domain() -> None:
    lesson = Lesson(task="toy/sea", split="dev", data_sha256="aa", metric="ndcg_at_10")
    learned = Fusion([WordOverlap(), BM25()], method="sum", weights=[1, 2], lesson=lesson)
    given = Fusion([WordOverlap(), BM25()], method="sum", weights=[1, 2])
    results = [evaluate(each, make_task(), [make_data()], command="").result for each in (learned, given)]
    assert [result.in_domain for result in results] == [("toy/sea",), ()]
    assert results[0].scores == results[1].scores


def test_progress_counts_a_text_when_all_systems_have_done_it() -> None:
    told: list[int] = []
    fusion = Fusion([BM25(), BM25(analyser="code"), WordOverlap()], method="rrf")
    corpus = [Document(f"d{number}", "", "zebra") for number in range(200)]
    evaluate(fusion, make_task(), [make_data(corpus)], command="", advance=told.append)
    assert sum(told) == 200


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"method": "sum"}, "give each retriever its weight"),
        ({"method": "rrf", "weights": [1, 1]}, "weights belong to 'sum'"),
        ({"method": "sum", "weights": [1]}, "1 weights for 2 retrievers"),
        ({"method": "sum", "weights": [1, -1]}, "numbers from 0"),
        ({"method": "sum", "weights": [1, float("nan")]}, "numbers from 0"),
        ({"method": "sum", "weights": [0, 0]}, "one above it"),
        ({"method": "rrf", "k": -1}, "a k from 0"),
        ({"method": "rrf", "depth": 0}, "a depth from 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Fusion([BM25(), BM25()], **settings)


def test_a_fusion_of_one_and_an_unknown_method_are_refused() -> None:
    with pytest.raises(InputError, match="a fusion of 1 retrievers"):
        Fusion([BM25()], method="rrf")
    with pytest.raises(UnknownName, match="did you mean 'rrf'"):
        Fusion([BM25(), BM25()], method="rff")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ranking", "problem"),
    [
        ([("a", float("nan"))], "'bad' scores document 'a' nan"),
        ([("a", 1.0)] * 2, "'bad' lists document 'a' twice"),
    ],
)
def test_a_system_that_ranks_badly_is_named(ranking: Ranking, problem: str) -> None:
    class Bad(WordOverlap):
        def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
            return [ranking for _ in queries]

    with pytest.raises(MixbenchError, match=problem):
        Fusion([WordOverlap(), Bad("bad")], method="rrf").search(["sea"], 10)


# Stored runs


def test_a_run_answers_query_ids_once_and_never_stale_ones() -> None:
    run = stored("a", p={"x": 1.0, "y": 2.0}, q={"x": 1.0})
    run.query_ids = ["q", "p", "unheard"]
    assert run.search(["", "", ""], 1) == [[("x", 1.0)], [("y", 2.0)], []]
    with pytest.raises(MixbenchError, match="set its query_ids before each search"):
        run.search(["", "", ""], 1)


def test_equal_rankings_have_one_recipe_whatever_tag_and_order() -> None:
    one = Run(rankings={"p": [("x", 1.0)], "q": [("y", 2.0), ("z", 1.0)]}, tag="one")
    same = Run(rankings={"q": [("z", 1.0), ("y", 2.0)], "p": [("x", 1.0)]}, tag="two")
    other = Run(rankings={"p": [("x", 1.0)], "q": [("y", 2.0), ("z", 1.5)]}, tag="one")
    recipes = [RunRetriever(run, name="a").recipe for run in (one, same, other)]
    assert recipes[0] == recipes[1] != recipes[2]


def test_unknown_queries_and_documents_are_counted_and_unknown_documents_keep_their_ranks() -> None:
    run = stored("a", q1={"d1": 1.0, "nowhere": 2.0}, q2={"d3": 1.0}, q9={"d1": 1.0})
    assert run.misfits([make_data()]) == [
        "a: 1 of its 3 queries are not evaluated: ignored",
        "a: 1 of the task's 3 queries are not in it: each scores 0",
        "a: 1 of its documents ('nowhere') are not in the corpus: they keep their ranks and count as not"
        " relevant, as in trec_eval",
    ]
    assert stored("b", q1={"d1": 1.0}, q2={"d3": 1.0}, q3={"d2": 1.0}).misfits([make_data()]) == []
    evaluation = evaluate(run, make_task(), [make_data()], command="")
    assert evaluation.query_scores["mrr_at_10"] == {"q1": 0.5, "q2": 1.0, "q3": 0.0}
    assert evaluation.result.empty_rankings == 1


def test_in_a_task_of_parts_a_run_names_part_and_query() -> None:
    task = make_task(parts={"one": "ToyOne", "two": "ToyTwo"})
    data = [make_data(part="one"), make_data(part="two")]
    run = stored("a", **{"one/q1": {"d1": 1.0}, "two/q1": {"d2": 2.0, "d1": 1.0}})
    found = evaluate(Fusion([run, run], method="minmax"), task, data, command="").query_scores["mrr_at_10"]
    assert (found["one/q1"], found["two/q1"], found["two/q2"]) == (1.0, 0.5, 0.0)
    assert run.misfits(data) == ["a: 4 of the task's 6 queries are not in it: each scores 0"]


def test_a_result_with_a_stored_run_in_it_says_so() -> None:
    data = RetrievalData(
        corpus=CORPUS, queries={"q1": QUERIES["q1"]}, qrels={"q1": {"d1": 1}}, split="test", source="folder"
    )
    run = stored("a", q1={"d1": 1.0})
    systems = [run, Fusion([WordOverlap(), run], method="rrf"), Fusion([WordOverlap(), BM25()], method="rrf")]
    results = [evaluate(each, make_task(), [data], command="").result for each in systems]
    assert [result.from_stored_run for result in results] == [True, True, False]
