"""The metrics are trec_eval's, which is also what pytrec_eval and beir report."""

import random

import pytest
import pytrec_eval
from beir.retrieval.evaluation import EvaluateRetrieval

from mixbench.errors import MixbenchError
from mixbench.evaluation import score_queries
from mixbench.interop.trec import trec_order, write_run
from mixbench.results import METRICS

DOCUMENTS = [f"d{number}" for number in range(150)]
BEIR_NAMES = {
    "ndcg_at_10": "NDCG@10",
    "map_at_100": "MAP@100",
    "recall_at_100": "Recall@100",
    "precision_at_10": "P@10",
}
Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]


def random_judgments_and_run(seed: int) -> tuple[Qrels, Run]:
    """Graded judgments (0 to 3) of 30 queries, and rankings of 1 to 120 documents with many tied scores."""
    draw = random.Random(seed)
    qrels, run = {}, {}
    for number in range(30):
        judged = draw.sample(DOCUMENTS, draw.randint(2, 40))
        qrels[f"q{number}"] = {doc_id: draw.randint(0, 3) for doc_id in judged} | {judged[0]: 1}
        ranked = draw.sample(DOCUMENTS, draw.randint(1, 120))
        run[f"q{number}"] = {doc_id: draw.randint(0, 12) / 7 for doc_id in ranked}
    return qrels, run


def rankings_of(run: Run) -> dict[str, list[tuple[str, float]]]:
    return {query_id: list(scores.items()) for query_id, scores in run.items()}


def mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)


@pytest.mark.parametrize("seed", range(5))
def test_each_query_scores_as_pytrec_eval_has_it(seed: int) -> None:
    qrels, run = random_judgments_and_run(seed)
    expected = pytrec_eval.RelevanceEvaluator(
        qrels, {"ndcg_cut.10", "map_cut.100", "recall.100", "P.10"}
    ).evaluate(run)
    cut = {query_id: dict(trec_order(ranking)[:10]) for query_id, ranking in rankings_of(run).items()}
    reciprocal = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut)

    scores = score_queries(qrels, rankings_of(run))

    for query_id in qrels:
        assert scores["ndcg_at_10"][query_id] == expected[query_id]["ndcg_cut_10"]
        assert scores["map_at_100"][query_id] == expected[query_id]["map_cut_100"]
        assert scores["recall_at_100"][query_id] == expected[query_id]["recall_100"]
        assert scores["precision_at_10"][query_id] == expected[query_id]["P_10"]
        assert scores["mrr_at_10"][query_id] == reciprocal[query_id]["recip_rank"]


@pytest.mark.parametrize("seed", range(5))
def test_means_are_those_of_beir(seed: int) -> None:
    qrels, run = random_judgments_and_run(seed)
    groups = EvaluateRetrieval.evaluate(qrels, run, [10, 100], ignore_identical_ids=False)
    expected = {name: value for group in groups for name, value in group.items()}

    scores = score_queries(qrels, rankings_of(run))

    for metric, name in BEIR_NAMES.items():
        assert mean(scores[metric]) == pytest.approx(expected[name], abs=5.1e-6)  # beir rounds to 5 places


@pytest.mark.parametrize("seed", range(5))
def test_mrr_is_beirs_where_the_run_lists_ties_in_trec_evals_order(seed: int) -> None:
    qrels, run = random_judgments_and_run(seed)
    listed = {query_id: dict(trec_order(ranking)) for query_id, ranking in rankings_of(run).items()}
    expected = EvaluateRetrieval.evaluate_custom(qrels, listed, [10], "mrr")["MRR@10"]

    scores = score_queries(qrels, rankings_of(run))

    assert mean(scores["mrr_at_10"]) == pytest.approx(expected, abs=5.1e-6)


def test_the_order_in_which_documents_are_listed_does_not_enter() -> None:
    qrels, run = random_judgments_and_run(seed=9)
    backwards = {query_id: ranking[::-1] for query_id, ranking in rankings_of(run).items()}

    assert score_queries(qrels, backwards) == score_queries(qrels, rankings_of(run))


def test_ties_break_by_descending_document_id_and_scores_tie_as_float32() -> None:
    ordered = trec_order([("a", 0.1), ("c", 0.1 + 1e-12), ("b", 0.1)])
    assert [doc_id for doc_id, _ in ordered] == ["c", "b", "a"]
    assert len({score for _, score in ordered}) == 1
    ranking = [("a", 0.1 + 1e-12), ("b", 0.1)]
    assert score_queries({"q": {"a": 1}}, {"q": ranking})["mrr_at_10"] == {"q": 0.5}
    assert score_queries({"q": {"b": 1}}, {"q": ranking})["mrr_at_10"] == {"q": 1.0}


def test_a_relevant_document_counts_for_mrr_down_to_rank_ten_only() -> None:
    ranking = [(f"d{rank}", float(-rank)) for rank in range(1, 12)]

    assert score_queries({"q": {"d10": 1}}, {"q": ranking})["mrr_at_10"] == {"q": 0.1}
    assert score_queries({"q": {"d11": 1}}, {"q": ranking})["mrr_at_10"] == {"q": 0.0}


def test_queries_without_a_ranking_score_zero_and_are_counted() -> None:
    qrels = {"found": {"a": 1}, "empty": {"a": 1}, "absent": {"a": 1}}

    scores = score_queries(qrels, {"found": [("a", 1.0)], "empty": []})

    for metric in METRICS:
        best = 0.1 if metric == "precision_at_10" else 1.0
        assert scores[metric] == {"found": best, "empty": 0.0, "absent": 0.0}


def test_no_ranking_at_all_scores_zero() -> None:
    assert score_queries({"q": {"a": 1}}, {})["ndcg_at_10"] == {"q": 0.0}


def test_relevance_below_zero_counts_as_not_relevant_but_judged() -> None:
    ranking = [("bad", 3.0), ("good", 2.0)]

    below = score_queries({"q": {"good": 1, "bad": -1}}, {"q": ranking})

    assert below == score_queries({"q": {"good": 1, "bad": 0}}, {"q": ranking})
    assert below["judged_at_10"] == {"q": 1.0}


def test_judged_is_the_share_of_the_ten_best_or_of_all_where_there_are_fewer() -> None:
    qrels = {"q": {"d1": 1, "d2": 0, "d11": 1}}
    ranking = [(f"d{rank}", float(-rank)) for rank in range(1, 12)]

    assert score_queries(qrels, {"q": ranking})["judged_at_10"] == {"q": 0.2}
    assert score_queries(qrels, {"q": ranking[:4]})["judged_at_10"] == {"q": 0.5}


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 1e39])
def test_a_score_that_is_no_float32_number_is_refused(score: float) -> None:
    with pytest.raises(MixbenchError, match="'a'"):
        trec_order([("b", 0.0), ("a", score)])


def test_a_document_listed_twice_is_refused() -> None:
    with pytest.raises(MixbenchError, match="'a' twice"):
        trec_order([("a", 1.0), ("b", 0.5), ("a", 0.2)])


def test_a_trec_run_ranks_from_one_and_brings_float32_scores_back() -> None:
    third = trec_order([("a", 1 / 3)])[0][1]

    run = write_run({"q1": [("b", 2.0), ("a", third)], "q2": []}, tag="bm25")

    assert run == "q1 Q0 b 1 2 bm25\nq1 Q0 a 2 0.333333343 bm25\n"
    assert trec_order([("a", float("0.333333343"))])[0][1] == third


@pytest.mark.parametrize("doc_id", ["two words", "", "line\n"])
def test_a_trec_run_refuses_ids_that_it_cannot_hold(doc_id: str) -> None:
    with pytest.raises(MixbenchError, match="document id"):
        write_run({"q": [(doc_id, 1.0)]}, tag="bm25")
