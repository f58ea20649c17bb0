"""Looking: one query of a task with what a model finds for it, and the lists of what there is."""

import json
from pathlib import Path

import pytest
from command import Run, evaluate, refused

from mixbench.experiments.searching import snippet
from mixbench.models import PRESETS
from mixbench.tasks import find_tasks

PLACES = ("-t", "tiny", "--tasks-dir", "../tasks", "--data-dir", "../data")


def test_a_query_of_the_task_shows_which_documents_are_relevant(run: Run) -> None:
    found = json.loads(run("search", "bm25", "q1", *PLACES, "--json").out)

    assert (found["query_id"], found["query"], found["relevant"]) == ("q1", "what mixes", 1)
    assert [(hit["rank"], hit["doc_id"], hit["relevance"]) for hit in found["hits"]] == [(1, "d1", 2)]
    assert (found["hits"][0]["title"], found["hits"][0]["snippet"]) == ("Mixers", "A mixer mixes.")


def test_a_query_is_known_by_its_text_as_by_its_id(run: Run) -> None:
    by_id = run("search", "bm25", "q1", *PLACES, "--json").out
    by_text = run("search", "bm25", "what mixes", *PLACES, "--json").out

    assert by_text == by_id


def test_any_text_can_be_searched_and_then_nothing_is_judged(run: Run) -> None:
    ended = run("search", "bm25", "titel", *PLACES)

    assert ended.status == 0
    assert "not a query of this task" in ended.out
    assert "✓" not in ended.out


def test_a_search_prints_a_mark_the_score_and_the_text(run: Run) -> None:
    out = run("search", "bm25", "q1", *PLACES, "-k", "1").out

    assert "bm25 on zoo/tiny: what mixes" in out
    assert "1 of 1 relevant documents found" in out
    assert "✓ 2" in out


def test_a_stored_run_and_a_fusion_of_it_are_searched_like_any_model(run: Run) -> None:
    Path("theirs.trec").write_text("q1 Q0 d3 1 2.0 theirs\nq1 Q0 gone 2 1.0 theirs\n")

    alone = json.loads(run("search", "run:theirs.trec", "q1", *PLACES, "--json").out)
    fused = json.loads(run("search", "rrf:bm25,run:theirs.trec", "q1", *PLACES, "--json").out)

    assert [(hit["doc_id"], hit["snippet"]) for hit in alone["hits"]] == [
        ("d3", ""),
        ("gone", "(not in the corpus)"),
    ]
    assert [hit["doc_id"] for hit in fused["hits"]] == ["d3", "d1", "gone"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nothing", "mixes"), "model 'nothing'"),
        (("bm25", " "), "the query is empty"),
        (("bm25", "mixes", "--part", "north"), "part 'north'"),
    ],
)
def test_a_search_that_cannot_be_done_ends_in_one_line(
    run: Run, arguments: tuple[str, ...], problem: str
) -> None:
    refused(run("search", *arguments, *PLACES), problem)


def test_a_snippet_begins_where_a_word_of_the_query_stands() -> None:
    text = "far " * 60 + "a whale sings " + "low " * 60

    assert snippet(text, "the whale", 40).startswith("… whale sings low")
    assert len(snippet(text, "the whale", 40)) <= 40 + len("…  …")
    assert snippet(text, "of", 12) == "far far far …"
    assert snippet("short\n text", "text") == "short text"


def test_tasks_are_listed_with_where_their_data_is(run: Run) -> None:
    rows = json.loads(run("list", "tasks", *PLACES[2:], "--json").out)
    packaged = json.loads(run("list", "tasks", "--json").out)

    assert [(row["task"], row["data"].endswith("data/tiny")) for row in rows] == [("zoo/tiny", True)]
    assert {row["task"] for row in packaged} == set(find_tasks())
    assert [row["data"] for row in packaged if row["task"].startswith("quickstart")] == ["embedded"]


def test_models_are_listed_and_no_preset_is_left_out(run: Run) -> None:
    names = [row["model"] for row in json.loads(run("list", "models", "--json").out)]

    assert set(PRESETS) <= set(names)
    assert "minilm" in names


def test_results_are_listed_as_they_are_stored(run: Run) -> None:
    refused(run("list", "results", "--output", "nowhere"), "nowhere: no such folder")
    evaluate(run, "-m", "bm25", "-t", "tiny")

    (row,) = json.loads(run("list", "results", "--output", "out", "--json").out)
    table = run("list", "results", "--output", "out").out

    assert (row["task"], row["model"], row["metric"]) == ("zoo/tiny", "bm25", "nDCG@10")
    assert f"{row['score']:.4f}" in table
