"""Evaluation: a retriever on a task, to a result reused only for the same model, data and settings."""

from pathlib import Path
from typing import Any

import pytest
from word_overlap import CORPUS, QRELS, QUERIES, WordOverlap, make_data, make_task

from mixbench.data import Document, RetrievalData
from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.evaluation import Evaluation, evaluate, existing_result, save_evaluation
from mixbench.interop.trec import write_run
from mixbench.retrievers import Ranking
from mixbench.retrievers.bm25 import BM25
from mixbench.tasks import Task


def run(retriever: Any, task: Task | None = None, *data: RetrievalData) -> Evaluation:
    return evaluate(retriever, task or make_task(), data or [make_data()], command="mixbench eval")


def test_a_result_says_what_was_measured() -> None:
    result = run(WordOverlap(model_sha256="5e")).result

    assert (result.task, result.model, result.split) == ("toy/sea", "overlap", "test")
    assert (result.n_documents, result.n_queries, result.data_source) == (4, 3, "folder")
    assert result.recipe == {"weight": 1.0, "model_sha256": "5e"}
    assert result.model_sha256 == "5e"
    assert result.data_sha256 == make_data().sha256
    assert result.main_score == result.scores.ndcg_at_10
    assert result.costs.parameters == 1
    assert result.costs.index_bytes == 18
    assert result.costs.documents_per_second > 0
    assert result.costs.peak_device_bytes is None
    assert result.provenance.command == "mixbench eval"


def test_scores_are_means_over_queries_and_an_empty_ranking_is_a_zero_among_them() -> None:
    evaluation = run(WordOverlap())

    assert evaluation.rankings["q3"] == []
    assert evaluation.query_scores["mrr_at_10"] == {"q1": 0.5, "q2": 1.0, "q3": 0.0}
    assert evaluation.result.scores.mrr_at_10 == 0.5
    assert evaluation.result.empty_rankings == 1


def test_a_document_with_the_querys_id_is_removed_exactly_where_the_task_says() -> None:
    kept = run(WordOverlap(), make_task())
    removed = run(WordOverlap(), make_task(remove_identical=True))

    assert [doc_id for doc_id, _ in kept.rankings["q1"]] == ["q1", "d1", "d2"]
    assert [doc_id for doc_id, _ in removed.rankings["q1"]] == ["d1", "d2"]
    assert removed.query_scores["mrr_at_10"]["q1"] == 1.0


def test_removing_an_identical_id_leaves_a_ranking_as_deep_as_any() -> None:
    corpus = [Document(f"d{number}", "", "zebra") for number in range(150)] + [Document("q3", "", "zebra")]
    data = make_data(corpus)

    removed = run(WordOverlap(), make_task(remove_identical=True), data)

    assert len(removed.rankings["q3"]) == 100
    assert "q3" not in dict(removed.rankings["q3"])


def test_the_score_of_a_task_with_parts_is_the_mean_over_its_parts() -> None:
    task = make_task(parts={"one": "ToyOne", "two": "ToyTwo"})
    small = RetrievalData(
        corpus=CORPUS[:1],
        queries={"q1": "sea"},
        qrels={"q1": {"d1": 1}},
        split="test",
        source="hub",
        part="two",
    )

    evaluation = run(WordOverlap(), task, make_data(part="one"), small)

    result = evaluation.result
    assert {part: scores.mrr_at_10 for part, scores in result.parts.items()} == {"one": 0.5, "two": 1.0}
    assert result.scores.mrr_at_10 == 0.75
    assert evaluation.query_scores["mrr_at_10"] == {
        "one/q1": 0.5,
        "one/q2": 1.0,
        "one/q3": 0.0,
        "two/q1": 1.0,
    }
    assert (result.n_documents, result.n_queries, result.data_source) == (5, 4, "folder+hub")


def test_a_task_with_parts_refuses_data_that_lacks_one() -> None:
    task = make_task(parts={"one": "ToyOne", "two": "ToyTwo"})

    with pytest.raises(InputError, match=r"parts \['one'\]"):
        run(WordOverlap(), task, make_data(part="one"))


@pytest.mark.parametrize(
    ("sources", "in_domain"),
    [((), ()), (("squad",), ()), (("squad", "sea"), ("sea",)), (("Sea2", "ocean"), ("Sea2", "ocean"))],
)
def test_training_on_a_task_under_any_of_its_names_makes_a_result_in_domain(
    sources: tuple[str, ...], in_domain: tuple[str, ...]
) -> None:
    task = make_task(mteb="Sea2", in_domain=("ocean",))

    result = run(WordOverlap(training_sources=sources), task).result

    assert result.in_domain == in_domain
    assert result.training_sources == tuple(sorted(sources))


def test_a_result_says_whether_the_data_is_what_the_task_records() -> None:
    recorded = make_data().sha256

    assert run(WordOverlap(), make_task()).result.data_matches_task is None
    assert run(WordOverlap(), make_task(sha256=recorded)).result.data_matches_task is True
    assert run(WordOverlap(), make_task(sha256="0" * 64)).result.data_matches_task is False


def test_a_model_that_cuts_texts_says_what_share_of_the_documents() -> None:
    class Cutting(WordOverlap):
        @property
        def truncated_share(self) -> float:
            return sum(len(words) > 4 for _, words in self._words) / len(self._words)

    assert run(Cutting()).result.truncated_share == 0.5
    assert run(WordOverlap()).result.truncated_share is None


def test_a_stored_result_is_reused_for_the_same_model_data_and_settings(tmp_path: Path) -> None:
    evaluation = run(WordOverlap())
    assert existing_result(tmp_path, WordOverlap(), make_task(), [make_data()]) is None

    save_evaluation(tmp_path, evaluation)

    assert existing_result(tmp_path, WordOverlap(), make_task(), [make_data()]) == evaluation.result


def test_two_models_never_share_a_result_even_under_one_name(tmp_path: Path) -> None:
    save_evaluation(tmp_path, run(WordOverlap(model_sha256="aa")))

    assert existing_result(tmp_path, WordOverlap(model_sha256="bb"), make_task(), [make_data()]) is None

    save_evaluation(tmp_path, run(WordOverlap(model_sha256="bb")))
    for weights in ("aa", "bb"):
        found = existing_result(tmp_path, WordOverlap(model_sha256=weights), make_task(), [make_data()])
        assert found is not None
        assert found.model_sha256 == weights


def test_two_corpora_never_share_a_result(tmp_path: Path) -> None:
    save_evaluation(tmp_path, run(WordOverlap()))
    changed = make_data((*CORPUS[:3], CORPUS[3]._replace(text="what moves the seas")))

    with pytest.raises(MixbenchError, match=r"data_sha256 differs; .*--overwrite"):
        existing_result(tmp_path, WordOverlap(), make_task(), [changed])


@pytest.mark.parametrize(
    ("fields", "depth", "reason"), [({"remove_identical": True}, 100, "remove_identical"), ({}, 200, "depth")]
)
def test_a_result_of_other_settings_is_not_reused(
    tmp_path: Path, fields: dict[str, Any], depth: int, reason: str
) -> None:
    save_evaluation(tmp_path, run(WordOverlap()))

    with pytest.raises(MixbenchError, match=reason):
        existing_result(tmp_path, WordOverlap(), make_task(**fields), [make_data()], depth=depth)


def test_a_result_whose_query_scores_are_gone_is_not_reused(tmp_path: Path) -> None:
    path = save_evaluation(tmp_path, run(WordOverlap()))
    path.with_name("sea.queries.json.gz").unlink()

    with pytest.raises(InputError, match=r"sea\.queries\.json\.gz: cannot be read"):
        existing_result(tmp_path, WordOverlap(), make_task(), [make_data()])


def test_a_run_is_written_to_the_runs_folder(tmp_path: Path) -> None:
    evaluation = run(WordOverlap("org/overlap"))

    path = save_evaluation(tmp_path, evaluation)

    written = (path.parent / "runs" / "sea.trec").read_text()
    assert written == write_run(evaluation.rankings, "org/overlap")
    assert written.startswith("q1 Q0 q1 1 4 org/overlap\n")


def test_ids_that_no_trec_run_can_hold_cost_the_run_but_not_the_result(tmp_path: Path) -> None:
    said: list[str] = []
    evaluation = run(WordOverlap(), None, make_data((*CORPUS, Document("d 5", "", "flour"))))

    path = save_evaluation(tmp_path, evaluation, progress=said.append)

    assert path.is_file()
    assert not (path.parent / "runs").exists()
    (line,) = said
    assert line.startswith("no run written for toy/sea: document id 'd 5': ")


def test_a_retriever_that_loses_a_query_is_refused() -> None:
    class Forgetful(WordOverlap):
        def search(self, queries: Any, k: int) -> list[Ranking]:
            return super().search(queries, k)[1:]

    with pytest.raises(MixbenchError, match="2 rankings for 3 queries"):
        run(Forgetful())


def test_settings_that_cannot_be_scored_are_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="depth 10"):
        evaluate(WordOverlap(), make_task(), [make_data()], command="", depth=10)
    with pytest.raises(UnknownName, match="ndcg_at_10"):
        run(WordOverlap(), make_task(main_metric="ndcg_at_1"))


def test_queries_must_be_those_that_are_judged() -> None:
    data = RetrievalData(
        corpus=CORPUS, queries={**QUERIES, "q4": "?"}, qrels=QRELS, split="test", source="hub"
    )

    with pytest.raises(InputError, match="judge each query"):
        run(WordOverlap(), None, data)


def test_progress_is_told() -> None:
    told: list[int] = []
    corpus = [Document(f"d{number}", "", "zebra") for number in range(250)]

    evaluate(BM25(), make_task(), [make_data(corpus)], command="", advance=told.append)

    assert told == [100, 100]
