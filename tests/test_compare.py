"""`mixbench compare`: runs of any engine and stored results, query by query, and the gate for regressions."""

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from command import TASK, Ended, Run, add_task, evaluate
from tiny_data import json_lines

from mixbench.leaderboard.comparison import Side, compare
from mixbench.results import cluster_queries, query_scores_path, sha256_text

PLACES = ("--tasks-dir", "../tasks", "--data-dir", "../data", "--output", "out")
N = 40
MANY = TASK.replace('"tiny"', '"many"')


@pytest.fixture(autouse=True)
def many(tmp_path: Path, run: Run) -> Path:
    """The data of zoo/many: forty queries "word number K", each with the document dK that holds its words."""
    add_task(tmp_path, "many", MANY)
    folder = tmp_path / "data" / "many"
    (folder / "qrels").mkdir(parents=True)
    words = [f"word{k} " * (1 + k % 3) + "number" for k in range(N)]
    documents = [{"_id": f"d{k}", "text": f"{text} {k} <b>"} for k, text in enumerate(words)]
    (folder / "corpus.jsonl").write_text(json_lines(documents))
    (folder / "queries.jsonl").write_text(json_lines([{"_id": f"q{k}", "text": words[k]} for k in range(N)]))
    lines = ["query-id\tcorpus-id\tscore", *(f"q{k}\td{k}\t1" for k in range(N))]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    return folder


def write_run(name: str, rank_of: Callable[[int], int]) -> str:
    """A run with the relevant document of query k at rank `rank_of(k)`, from 1; 0 leaves the query out."""
    lines = []
    for k in range(N):
        others = [f"d{other}" for other in range(N) if other != k][:10]
        rank = rank_of(k)
        ranking = [*others[: rank - 1], f"d{k}", *others[rank - 1 :]] if rank else []
        lines += [f"q{k} Q0 {doc_id} {at} {100 - at} theirs" for at, doc_id in enumerate(ranking, start=1)]
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def compared(run: Run, *arguments: object) -> Ended:
    return run("compare", *arguments, "-t", "zoo/many", *PLACES)


def refused_naming(ended: Ended, *parts: str) -> None:
    assert (ended.status, ended.out) == (1, "")
    for part in parts:
        assert part in ended.err.splitlines()[-1]


def test_two_runs_of_any_engine_are_compared_without_a_model(run: Run) -> None:
    a, b = write_run("a.trec", lambda k: 1), write_run("b.trec", lambda k: 2 if k < 10 else 1)

    read = json.loads(compared(run, a, b, "--json").out)

    second = 1 / np.log2(3)
    assert (read["name_a"], read["name_b"], read["a"]) == ("a.trec", "b.trec", 1.0)
    assert read["b"] == pytest.approx((30 + 10 * second) / 40, abs=1e-6)
    assert read["difference"] == pytest.approx(read["b"] - 1)
    assert (read["wins"], read["losses"], read["ties"]) == (0, 10, 30)
    assert read["low"] < read["difference"] < read["high"] < 0
    assert read["p_randomisation"] == pytest.approx(2 / 2**10, rel=0.9)
    assert read["queries"][0] == {
        "query_id": "q0",
        "a": 1.0,
        "b": 0.63093,
        "difference": -0.36907,
        "top_a": "d0",
        "top_b": "d1",
    }


def test_queries_are_sliced_by_length_relevant_documents_and_overlap(run: Run) -> None:
    a, b = write_run("a.trec", lambda k: 1), write_run("b.trec", lambda k: 1 + (k % 3 == 2))

    slices = json.loads(compared(run, a, b, "--json").out)["slices"]

    words = [each for each in slices if each["feature"] == "words in the query"]
    assert [(each["low"], each["high"], each["queries"]) for each in words] == [
        (2, 2, 14),
        (3, 3, 13),
        (4, 4, 13),
    ]
    assert [round(each["difference"], 5) for each in words] == [0, 0, -0.36907]
    others = [(each["feature"], each["low"], each["queries"]) for each in slices if each not in words]
    assert others == [("relevant documents", 1, 40), ("lexical overlap", 1, 40)]


def test_a_planted_regression_ends_with_status_3_and_noise_with_0(run: Run) -> None:
    a = write_run("a.trec", lambda k: 1 + k % 2)
    worse, noisy = write_run("worse.trec", lambda k: 2 + k % 2), write_run("noisy.trec", lambda k: 2 - k % 2)

    regression = compared(run, a, worse, "--fail-if-worse", "0.01")
    assert regression.status == 3
    assert "mixbench: B is worse by more than 0.01; B − A: −." in regression.err
    assert regression.out.startswith("A a.trec: nDCG@10 ")
    assert compared(run, a, noisy, "--fail-if-worse", "0.01").status == 0
    assert compared(run, a, a, "--fail-if-worse", "0").status == 0
    assert compared(run, worse, a, "--fail-if-worse", "0.01").status == 0
    assert compared(run, a, worse, "--fail-if-worse", "0.5").status == 0
    assert compared(run, a, worse).status == 0


def test_a_large_difference_by_chance_is_no_regression(run: Run) -> None:
    a = write_run("a.trec", lambda k: 1)
    once = write_run("once.trec", lambda k: 0 if k == 0 else 1)

    read = json.loads(compared(run, a, once, "--json").out)

    assert read["difference"] == pytest.approx(-1 / 40)
    assert compared(run, a, once, "--fail-if-worse", "0.01").status == 0


def test_stored_results_are_compared_by_name_and_by_file_and_with_runs(run: Run) -> None:
    evaluate(run, "-m", "bm25", "-m", "bm25-okapi", "-t", "many")
    (okapi,) = Path("out").glob("zoo/bm25-okapi/*/many.json")
    worse = write_run("worse.trec", lambda k: 3)

    named = json.loads(compared(run, "bm25", "bm25-okapi", "--json").out)
    by_file = json.loads(compared(run, "bm25", okapi, "--json").out)
    mixed = json.loads(compared(run, "bm25", worse, "--json").out)
    assert mixed | {"name_b": ""} == json.loads(compared(run, "bm25", f"run:{worse}", "--json").out) | {
        "name_b": ""
    }

    assert named == by_file
    assert named["name_a"].startswith("bm25 ")
    assert (named["a"], named["difference"], named["ties"]) == (1.0, 0.0, 40)
    assert named["queries"][0]["top_a"] == "d0"
    assert mixed["difference"] == pytest.approx(-0.5)


def test_results_are_compared_without_the_data_but_for_slices(run: Run, many: Path) -> None:
    evaluate(run, "-m", "bm25", "-m", "bm25-okapi", "-t", "many")
    many.rename(many.with_name("elsewhere"))

    ended = compared(run, "bm25", "bm25-okapi", "--json")

    assert json.loads(ended.out)["slices"] == []
    assert ended.err == "zoo/many: no data here, so no slices\n"


def test_texts_are_shown_only_where_the_licence_allows_it(run: Run, tmp_path: Path) -> None:
    a, b = write_run("a.trec", lambda k: 1), write_run("b.trec", lambda k: 2)

    assert "word0 number 0 <b>" not in compared(run, a, b).out
    assert "word0 number 0 <b>" in compared(run, a, b, "--with-text").out
    add_task(tmp_path, "many", MANY.replace("redistribute = true", "redistribute = false"))
    refused_naming(compared(run, a, b, "--with-text"), "zoo/many: its licence (CC0-1.0)", "--with-text")


def test_the_table_shows_the_queries_that_differ_most(run: Run) -> None:
    a, b = write_run("a.trec", lambda k: 1), write_run("b.trec", lambda k: 5 if k == 7 else 1)

    out = compared(run, a, b, "--queries", "1").out

    assert "of 40 queries B is better on 0, worse on 1, equal on 39" in out
    assert [line.split("│")[1].strip() for line in out.splitlines() if "│ q" in line and "d7" in line] == [
        "q7"
    ]
    assert "q8" not in out


def test_a_query_that_a_run_lacks_counts_as_0_and_is_said(run: Run) -> None:
    a, b = write_run("a.trec", lambda k: 1), write_run("b.trec", lambda k: k % 2)

    ended = compared(run, a, b, "--json")

    assert json.loads(ended.out)["b"] == 0.5
    assert "b.trec: lacks 20 of the 40 queries of zoo/many: each scores 0" in ended.err


# Bad input


def test_a_run_with_unknown_ids_is_refused_by_name(run: Run) -> None:
    a, b = write_run("a.trec", lambda k: 1), write_run("b.trec", lambda k: 1)
    with Path(b).open("a") as stream:
        stream.write("x9 Q0 d1 1 1.0 theirs\n")
    refused_naming(compared(run, a, b), "b.trec: 1 of its 41 queries are not of zoo/many ('x9' is one)")

    Path(b).write_text("q0 Q0 nowhere 1 1.0 theirs\n")
    refused_naming(compared(run, a, b), "b.trec: document 'nowhere' is not in the corpus of zoo/many")


def test_a_run_with_a_score_that_is_no_number_is_refused_by_file_and_line(run: Run) -> None:
    a = write_run("a.trec", lambda k: 1)
    Path("b.trec").write_text("q0 Q0 d0 1 nan theirs\n")

    refused_naming(compared(run, a, "b.trec"), "b.trec:1: score 'nan' is no finite float32 number")


def test_results_of_other_data_are_refused_naming_both(run: Run, many: Path) -> None:
    evaluate(run, "-m", "bm25", "-t", "many")
    text = (many / "corpus.jsonl").read_text()
    (many / "corpus.jsonl").write_text(text.replace("<b>", "<i>"))
    evaluate(run, "-m", "bm25-okapi", "-t", "many")

    refused_naming(compared(run, "bm25", "bm25-okapi"), "/bm25/", "/bm25-okapi/", "are of other data")
    run_file = write_run("a.trec", lambda k: 1)
    refused_naming(compared(run, "bm25", run_file), "many.json: not of the data of zoo/many that is here")


def test_results_of_other_queries_are_refused_naming_both(run: Run) -> None:
    evaluate(run, "-m", "bm25", "-m", "bm25-okapi", "-t", "many")
    (path,) = Path("out").glob("zoo/bm25-okapi/*/many.json")
    beside = query_scores_path(path)
    text = gzip.decompress(beside.read_bytes()).replace(b'"q39"', b'"x39"')
    beside.write_bytes(gzip.compress(text))
    stated = {**json.loads(path.read_text()), "queries_sha256": sha256_text(text.decode())}
    path.write_text(json.dumps(stated))

    ended = compared(run, "bm25", "bm25-okapi")

    refused_naming(ended, "/bm25/", "/bm25-okapi/", "have other queries ('q39' is in one alone)")


def test_what_has_no_result_is_refused_with_a_suggestion(run: Run) -> None:
    evaluate(run, "-m", "bm25", "-t", "many")

    refused_naming(
        compared(run, "bm25", "bm52"), "unknown run file, result file or model", "did you mean 'bm25'?"
    )


def test_several_revisions_of_a_name_must_be_told_apart(run: Run) -> None:
    evaluate(run, "-m", "bm25", "-t", "many")
    (path,) = Path("out").glob("zoo/bm25/*/many.json")
    other = path.parents[1] / ("0" * 12) / "many.json"
    other.parent.mkdir()
    other.write_text(json.dumps({**json.loads(path.read_text()), "revision": "0" * 12}))

    refused_naming(compared(run, "bm25", "bm25"), "'bm25' has 2 revisions", str(path), str(other))
    assert compared(run, path, path).status == 0


def test_a_result_on_another_task_is_refused(run: Run) -> None:
    evaluate(run, "-m", "bm25", "-t", "many", "-t", "tiny")
    (tiny,) = Path("out").glob("zoo/bm25/*/tiny.json")

    refused_naming(compared(run, "bm25", tiny), "tiny.json: a result on 'zoo/tiny', not on 'zoo/many'")


# Clusters


def test_queries_of_one_document_make_one_cluster_also_by_way_of_others() -> None:
    qrels: Mapping[str, Mapping[str, int]] = {
        "a": {"d1": 1},
        "b": {"d2": 1, "d1": 0},
        "c": {"d2": 1, "d3": 1},
        "d": {"d3": 2},
        "e": {"d4": 1},
        "f": {"d1": 1, "d4": 1},
    }

    assert cluster_queries(qrels) == {"a": 0, "b": 1, "c": 1, "d": 1, "e": 0, "f": 0}


def test_an_interval_of_few_documents_is_wider_than_one_of_many_queries() -> None:
    query_ids = [f"q{k}" for k in range(60)]
    scores = {query_id: float(k // 10 % 2) for k, query_id in enumerate(query_ids)}
    a, b = (
        Side(name="a", scores=dict.fromkeys(query_ids, 0.5), top={}),
        Side(name="b", scores=scores, top={}),
    )

    singly = compare("toy/sea", "ndcg_at_10", a, b)
    together = compare(
        "toy/sea", "ndcg_at_10", a, b, clusters={query_id: k // 10 for k, query_id in enumerate(query_ids)}
    )

    assert (singly.clustered, together.clustered) == (False, True)
    assert together.high - together.low > 2 * (singly.high - singly.low)
