"""Fusions and stored runs by name: what they are called, and where their weights come from."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from word_overlap import CORPUS, WordOverlap, make_task

from mixbench import load_data, load_task
from mixbench.data import RetrievalData
from mixbench.data.beir import write_beir_folder
from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.evaluation import evaluate
from mixbench.experiments.commands import eval_command
from mixbench.experiments.evaluating import Places, run_evaluations
from mixbench.experiments.fusing import Untuned, fit_to_task
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.experiments.weights import ascend, learn_weights
from mixbench.interop.trec import Run
from mixbench.results import Result
from mixbench.retrievers import Retriever
from mixbench.retrievers.fusion import Fusion
from mixbench.retrievers.run import RunRetriever
from mixbench.tasks import Task

OPTIONS = EncoderOptions()
DEV_QUERIES = {f"q{number}": f"dev {number}" for number in range(10, 20)}
TEST_QUERIES = {f"q{number}": f"test {number}" for number in range(20, 30)}


def split_of(name: str, queries: dict[str, str], relevant: str = "d1") -> RetrievalData:
    qrels = {query_id: {relevant: 1} for query_id in queries}
    return RetrievalData(corpus=CORPUS, queries=queries, qrels=qrels, split=name, source="folder")


def run_of(name: str, order: list[str]) -> RunRetriever:
    """The same ranking for each dev and each test query."""
    ranking = [(doc_id, float(len(order) - place)) for place, doc_id in enumerate(order)]
    return RunRetriever(
        Run(rankings=dict.fromkeys({**DEV_QUERIES, **TEST_QUERIES}, ranking), tag=name), name=name
    )


GOOD, BAD = run_of("good", ["d1", "d2", "d3"]), run_of("bad", ["d3", "d2", "d1"])
TUNED_TASK = make_task(dev_split="dev", train_split="train")


def tuned(task: Task, test: RetrievalData, **splits: RetrievalData) -> Fusion:
    """Return the fusion of GOOD and BAD whose weights were learned on one of `splits`."""
    untuned = Untuned([GOOD, BAD], method="sum", weights=[1, 1], name="tuned-good+bad")
    found = fit_to_task(untuned, task, [test], lambda split: [splits[split]])
    assert isinstance(found, Fusion)
    return found


# Names


@pytest.mark.parametrize(
    ("name", "called", "method", "weights"),
    [
        ("rrf:bm25,bm25-code", "rrf-bm25+bm25-code", "rrf", [1, 1]),
        ("minmax:bm25,bm25-code,bm25-okapi", "minmax-bm25+bm25-code+bm25-okapi", "minmax", [1, 1, 1]),
        ("sum:bm25=0.3,bm25-code=.7", "sum-bm25=0.3+bm25-code=0.7", "sum", [0.3, 0.7]),
    ],
)
def test_a_name_opens_a_fusion(name: str, called: str, method: str, weights: list[float]) -> None:
    fusion = open_system(name, OPTIONS)
    assert isinstance(fusion, Fusion)
    assert (fusion.name, fusion.method, fusion.weights) == (called, method, weights)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("rrf:bm25", "a fusion needs two or more systems, divided by commas; write rrf:A,B"),
        ("rrf:bm25,", "two or more"),
        ("tuned:", "two or more"),
        ("sum:bm25,bm25-code=1", "'bm25' has no weight; write sum:A=0.3,B=0.7"),
        ("sum:bm25=heavy,bm25-code=1", "'bm25=heavy' has no weight"),
        ("sum:bm25=0,bm25-code=0", "one above it"),
        ("rrf:bm25,minmax:bm25", "'minmax:bm25' is a fusion itself"),
        ("run:nowhere.trec", "nowhere.trec: no such file; run:FILE names a TREC run"),
    ],
)
def test_a_name_that_cannot_be_opened_is_refused(name: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        open_system(name, OPTIONS)
    assert problem in str(caught.value)


def test_a_system_within_a_fusion_that_does_not_exist_is_met_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown model 'bm52'; did you mean 'bm25'"):
        open_system("rrf:bm25,bm52", OPTIONS)


@pytest.mark.parametrize(
    ("file", "called"),
    [("a.trec", "run-a"), ("A..b (1).run.gz", "run-A_b_1_"), ("run", "run-run"), ("ü.v2.txt", "run-_v2")],
)
def test_a_stored_run_is_called_by_its_file(tmp_path: Path, file: str, called: str) -> None:
    import gzip

    content = b"q Q0 d 1 0.5 tag\n"
    (tmp_path / file).write_bytes(gzip.compress(content) if file.endswith(".gz") else content)
    assert open_system(f"run:{tmp_path / file}", OPTIONS).name == called


def test_a_recorded_command_names_no_place_of_this_machine() -> None:
    for model, recorded in {
        "run:/home/me/a.trec": "run:a.trec",
        "run:runs/a.trec": "run:runs/a.trec",
        "rrf:bm25,run:/home/me/a.trec,/models/mine,org/name": "rrf:bm25,run:a.trec,mine,org/name",
        "sum:run:/x/a.trec=0.3,~/mine=0.7": "sum:run:a.trec=0.3,mine=0.7",
        "/models/mine": "mine",
    }.items():
        assert eval_command(model, "t", OPTIONS, local_data=False) == f"mixbench eval -m {recorded} -t t"


# Learning


def test_the_grid_finds_the_better_system_where_the_other_is_noise() -> None:
    fusion = Fusion([BAD, GOOD], method="sum", weights=[1, 1])
    weights, score = learn_weights(fusion, make_task(main_metric="mrr_at_10"), [split_of("dev", DEV_QUERIES)])
    assert score == 1.0
    assert weights[1] > 0.5 > weights[0]
    assert sum(weights) == pytest.approx(1)


def test_systems_that_complement_each_other_share_the_weight() -> None:
    task, dev = (
        load_task("quickstart/stdlib-code"),
        load_data(load_task("quickstart/stdlib-code"), split="train"),
    )
    some = dict(list(dev[0].queries.items())[:200])
    small = dataclasses.replace(dev[0], queries=some, qrels={key: dev[0].qrels[key] for key in some})
    systems = [open_system("bm25", OPTIONS), open_system("bm25-code", OPTIONS)]
    weights, score = learn_weights(Fusion(systems, method="sum", weights=[1, 1]), task, [small])
    fused = Fusion(systems, method="sum", weights=weights)
    scores = [evaluate(each, task, [small], command="").result.main_score for each in (fused, *systems)]
    assert scores[0] == pytest.approx(score, abs=1e-6)
    assert scores[0] >= max(scores[1:])
    assert 0 < weights[0] < 1


def test_ascent_is_the_whole_grid_for_two_systems_and_climbs_for_three() -> None:
    tried: list[tuple[float, ...]] = []

    def two_hills(weights: tuple[float, ...]) -> float:
        tried.append(weights)
        return {0.1: 0.6, 0.95: 0.7}.get(weights[0], 0.0)

    assert ascend(two_hills, 2) == ((0.95, 0.05), 0.7)
    assert {weights[0] for weights in tried} >= {step / 20 for step in range(21)}
    target = (0.2, 0.5, 0.3)
    (found, _) = ascend(lambda weights: -sum(abs(a - b) for a, b in zip(weights, target, strict=True)), 3)
    assert found == pytest.approx(target, abs=0.1)
    assert sum(found) == pytest.approx(1, abs=1e-5)


def test_of_weights_that_score_the_same_those_nearest_to_equal_are_taken() -> None:
    assert ascend(lambda weights: 0.5, 2) == ((0.5, 0.5), 0.5)
    assert ascend(lambda weights: float(weights[0] >= 0.7), 2) == ((0.7, 0.3), 1.0)


def test_poisoned_eval_judgments_leave_the_weights_as_they_were() -> None:
    dev = split_of("dev", DEV_QUERIES)
    honest = tuned(TUNED_TASK, split_of("test", TEST_QUERIES, relevant="d1"), dev=dev)
    poisoned = tuned(TUNED_TASK, split_of("test", TEST_QUERIES, relevant="d3"), dev=dev)
    assert honest.recipe == poisoned.recipe
    assert honest.weights[0] > honest.weights[1]
    other_dev = tuned(TUNED_TASK, split_of("test", TEST_QUERIES), dev=split_of("dev", DEV_QUERIES, "d3"))
    assert other_dev.weights != honest.weights


def test_what_weights_were_learned_from_stands_in_the_recipe() -> None:
    dev = split_of("dev", DEV_QUERIES)
    recipe = tuned(TUNED_TASK, split_of("test", TEST_QUERIES), dev=dev).recipe
    lesson = {"task": "toy/sea", "split": "dev", "data_sha256": dev.sha256, "metric": "ndcg_at_10"}
    assert recipe["learned_from"] == lesson
    train = tuned(
        make_task(train_split="train"), split_of("test", TEST_QUERIES), train=split_of("train", DEV_QUERIES)
    )
    assert train.recipe["learned_from"]["split"] == "train"


def test_a_dev_query_that_is_an_eval_query_too_is_refused() -> None:
    dev = split_of("dev", {**DEV_QUERIES, "q20": "another text"})
    with pytest.raises(InputError, match=r"1 queries of its dev split \('q20'\) are in test too"):
        tuned(TUNED_TASK, split_of("test", TEST_QUERIES), dev=dev)


def test_a_dev_query_that_asks_what_an_eval_query_asks_is_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    dev = split_of("dev", {**DEV_QUERIES, "q9": " Test  20"})
    found = tuned(TUNED_TASK, split_of("test", TEST_QUERIES), dev=dev)
    assert found.lesson is not None
    assert found.lesson.data_sha256 == split_of("dev", DEV_QUERIES).sha256
    assert "1 dev queries left out: test asks the same" in capfd.readouterr().err


def test_a_task_without_another_split_is_refused_before_any_work(tmp_path: Path) -> None:
    write_beir_folder([split_of("test", TEST_QUERIES)], tmp_path / "sea")
    places = Places(data_dir=tmp_path, output=tmp_path / "out", offline=True)
    for task in (make_task(), make_task(train_split="test")):
        with pytest.raises(InputError, match="toy/sea has no dev or train split to learn weights on"):
            run_evaluations(["bm25", "tuned:bm25,bm25-code"], [task], places, OPTIONS)
    assert not (tmp_path / "out").exists()


def test_weights_that_were_not_learned_are_never_used() -> None:
    with pytest.raises(MixbenchError, match="no weights yet"):
        evaluate(
            open_system("tuned:bm25,bm25-code", OPTIONS),
            make_task(),
            [split_of("test", TEST_QUERIES)],
            command="",
        )


def test_a_system_trained_on_the_split_that_weights_are_learned_on_is_named(
    capfd: pytest.CaptureFixture[str],
) -> None:
    systems: list[Retriever] = [WordOverlap("seen", training_sources=("sea",)), WordOverlap("other")]
    untuned = Untuned(systems, method="sum", weights=[1, 1], name="tuned-x")
    task, train = make_task(train_split="train"), split_of("train", DEV_QUERIES)
    fit_to_task(untuned, task, [split_of("test", TEST_QUERIES)], lambda split: [train])
    said = capfd.readouterr().err
    assert "seen was trained on sea: the train split may overrate it" in said
    assert "other was" not in said


# Evaluations


def evaluated(tmp_path: Path, model: str, **settings: Any) -> Result:
    places = Places(data_dir=tmp_path, output=tmp_path / "out", offline=True)
    (result,) = run_evaluations([model], [make_task(**settings)], places, OPTIONS)
    return result


def test_a_fusion_of_a_system_and_its_own_stored_run_ranks_as_the_system(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sea = RetrievalData(
        corpus=CORPUS,
        queries={"q2": "flour for bread", "q7": "the salt sea"},
        qrels={"q2": {"d3": 1}, "q7": {"d1": 1}},
        split="test",
        source="folder",
    )
    write_beir_folder([sea], tmp_path / "sea")
    alone = evaluated(tmp_path, "bm25")
    run = (tmp_path / "out" / alone.place).parent / "runs" / "sea.trec"
    shutil.copy(run, tmp_path / "mine.trec")
    capfd.readouterr()

    stored = evaluated(tmp_path, f"run:{tmp_path / 'mine.trec'}")
    fused = evaluated(tmp_path, f"minmax:bm25,run:{tmp_path / 'mine.trec'}")

    assert (stored.model, fused.model) == ("run-mine", "minmax-bm25+run-mine")
    assert stored.scores == fused.scores == alone.scores
    assert stored.provenance.command == "mixbench eval -m run:mine.trec -t toy/sea --data-dir DATA"
    again = (tmp_path / "out" / stored.place).parent / "runs" / "sea.trec"
    assert again.read_bytes() == run.read_bytes()
    assert "not in" not in capfd.readouterr().err


def test_what_a_run_and_a_task_do_not_share_is_said_in_a_fusion_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_beir_folder([split_of("test", TEST_QUERIES)], tmp_path / "sea")
    (tmp_path / "mine.trec").write_text("q20 Q0 d1 1 1 t\nq20 Q0 d77 2 2 t\nq1 Q0 d1 1 1 t\n")
    evaluated(tmp_path, f"rrf:bm25,run:{tmp_path / 'mine.trec'}")
    said = capfd.readouterr().err.replace("\n", " ")
    assert "the ranks of 1 of 2 queries disagree with their scores" in said
    assert "toy/sea: run-mine: 1 of its 2 queries are not evaluated: ignored" in said
    assert "toy/sea: run-mine: 9 of the task's 10 queries are not in it" in said
    assert "1 of its documents ('d77') are not in the corpus" in said


def test_a_tuned_fusion_is_evaluated_kept_and_shown_as_in_domain(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    queries = {"q1": "flour", "q2": "salt sea"}, {"q3": "moon", "q4": "bread"}
    splits = [split_of("test", queries[0]), split_of("train", queries[1])]
    write_beir_folder(splits, tmp_path / "sea")
    result = evaluated(tmp_path, "tuned:bm25,bm25-code", train_split="train")
    assert (result.model, result.in_domain) == ("tuned-bm25+bm25-code", ("toy/sea",))
    assert json.loads(json.dumps(result.recipe))["learned_from"]["data_sha256"] == splits[1].sha256
    assert "on 2 queries of the train split" in capfd.readouterr().err
    assert evaluated(tmp_path, "tuned:bm25,bm25-code", train_split="train") == result
    assert "kept tuned-bm25+bm25-code" in capfd.readouterr().err
