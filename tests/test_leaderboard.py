"""Leaderboards: pages that say what the results do."""

import re
from pathlib import Path
from typing import Any

import pytest
from word_overlap import CORPUS, WordOverlap, make_data, make_task, store

from mixbench.errors import MixbenchError
from mixbench.evaluation import evaluate, save_evaluation
from mixbench.interop.trec import Run
from mixbench.leaderboard import analyse, read_evidence, render, render_board, write_board
from mixbench.results import Result, save_result
from mixbench.retrievers.run import RunRetriever

SEA, LAND = make_task("toy/sea"), make_task("toy/land")


class AnyWord(WordOverlap):
    """A worse retriever: any shared word is worth as much as many."""

    def __init__(self, name: str = "anyword") -> None:
        super().__init__(name, weight=0.0)


def cells(page: str, heading: str) -> list[list[str]]:
    """The body of the first table below a heading."""
    section = page.split(f"## {heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def place(result: Result) -> str:
    return str(result.place.relative_to("toy"))


def keep(output: Path, result: Result, **fields: Any) -> Result:
    """Store a result of the toy data with `fields` changed, beside the query scores of the word overlap."""
    changed = result.model_copy(update=fields)
    evaluation = evaluate(WordOverlap(), SEA, [make_data()], command="")
    save_result(output, changed, evaluation.query_scores, None)
    return changed


def test_rows_are_models_with_the_best_mean_first_and_cells_link_to_results(tmp_path: Path) -> None:
    good, bad = WordOverlap(), AnyWord()
    stored = [store(tmp_path, each, task) for each in (bad, good) for task in (SEA, LAND)]

    rows = cells(render_board(tmp_path / "toy", [SEA, LAND]), "Main scores")

    land, sea = stored[3], stored[2]
    assert [row[0] for row in rows] == [f"`overlap` {sea.revision}", f"`anyword` {stored[0].revision}"]
    assert sea.scores.ndcg_at_10 == pytest.approx(0.543643)
    assert rows[0][1:] == [
        "**.544** (.210–.877)",
        "1 (1–2)",
        "1",
        f"**[.544]({place(land)})**",
        f"**[.544]({place(sea)})**",
    ]
    assert rows[1][1:4] == [".500 ≈ (.167–.833)", "2 (1–2)", "2"]


def test_a_page_is_the_same_bytes_in_whatever_order_results_come(tmp_path: Path) -> None:
    stored = [store(tmp_path, each, task) for each in (AnyWord(), WordOverlap()) for task in (SEA, LAND)]
    evidence = read_evidence(tmp_path / "toy", stored)

    forwards = render(analyse("toy", stored, [SEA, LAND], evidence))
    assert forwards == render(analyse("toy", stored[::-1], [LAND, SEA], evidence))
    assert forwards == render_board(tmp_path / "toy", [SEA, LAND])


def test_results_that_are_written_link_to_files_that_exist(tmp_path: Path) -> None:
    for task in (SEA, LAND):
        store(tmp_path, WordOverlap("org/overlap"), task)

    page = write_board(tmp_path / "toy", [SEA, LAND])

    links = re.findall(r"\]\(([^)]+)\)", page.read_text())
    assert len(links) == 2
    assert all((page.parent / link).is_file() for link in links)


def test_a_row_that_lacks_a_task_has_no_mean_and_comes_last(tmp_path: Path) -> None:
    store(tmp_path, WordOverlap(), SEA)
    for task in (SEA, LAND):
        store(tmp_path, AnyWord(), task)

    rows = cells(render_board(tmp_path / "toy", [SEA, LAND]), "Main scores")

    assert [row[0].split()[0] for row in rows] == ["`anyword`", "`overlap`"]
    assert rows[1][1:5] == ["–", "–", "1", "–"]  # first of two here, second of two there


def test_a_page_says_that_it_is_partial_and_what_is_absent(tmp_path: Path) -> None:
    store(tmp_path, WordOverlap(), SEA)
    page = render_board(tmp_path / "toy", [SEA, LAND, make_task("other/air")])

    assert "**Partial: 1 of 2 tasks have results here.** Without any: land." in page
    assert "Partial" not in render_board(tmp_path / "toy", [SEA])


def test_in_domain_cells_and_unknown_training_are_marked(tmp_path: Path) -> None:
    store(tmp_path, WordOverlap("trained", training_sources=["land"]), LAND)
    clean = store(tmp_path, WordOverlap("clean", training_sources=["squad"]), LAND)
    keep(tmp_path, clean, model="unknown", training_sources=None)

    page = render_board(tmp_path / "toy", [LAND])

    marks = {row[0].split()[0]: row[-1].partition(")")[2] for row in cells(page, "Main scores")}
    assert marks == {"`trained`": "† ≈", "`clean`": "**", "`unknown`": "? ≈"}
    assert "? nobody says what the model was trained on." in page
    assert "- trained on: squad" in page


def test_a_mean_over_an_in_domain_cell_is_marked_too(tmp_path: Path) -> None:
    for task in (SEA, LAND):
        store(tmp_path, WordOverlap(training_sources=["land"]), task)

    page = render_board(tmp_path / "toy", [SEA, LAND])
    assert cells(page, "Main scores")[0][1] == ".544† (.210–.877)"


def test_results_for_other_data_are_marked(tmp_path: Path) -> None:
    changed = make_data((*CORPUS[:3], CORPUS[3]._replace(text="what moves")))
    for each in (WordOverlap("a"), WordOverlap("b")):
        store(tmp_path, each, SEA)
    save_evaluation(tmp_path, evaluate(WordOverlap("c"), SEA, [changed], command=""))

    page = render_board(tmp_path / "toy", [SEA], allow_dirty=True)
    recorded = render_board(tmp_path / "toy", [make_task(sha256=changed.sha256)], allow_dirty=True)

    assert ["‡" in row[-1] for row in sorted(cells(page, "Main scores"))] == [False, False, True]
    assert ["‡" in row[-1] for row in sorted(cells(recorded, "Main scores"))] == [True, True, False]
    assert [row[1] for row in sorted(cells(page, "Main scores"))] == ["1 (1–2)", "1 (1–2)", "–"]
    assert "not comparable within its column" in page


def test_known_item_tasks_and_removed_identical_ids_are_said(tmp_path: Path) -> None:
    task = make_task(known_item=True, remove_identical=True)

    store(tmp_path, WordOverlap(), task)
    page = render_board(tmp_path / "toy", [task])

    assert "- Known-item tasks, each query made from the document it looks for: sea." in page
    assert "- A document with the query's own id is removed, as mteb does, in: sea." in page


def test_results_of_uncommitted_code_are_refused_by_name_or_marked(tmp_path: Path) -> None:
    dirty = store(tmp_path, WordOverlap(), SEA, dirty=True)

    with pytest.raises(MixbenchError, match=re.escape(str(dirty.place))):
        render_board(tmp_path / "toy", [SEA])
    with pytest.raises(MixbenchError, match="uncommitted"):
        write_board(tmp_path / "toy", [SEA])
    assert not (tmp_path / "toy" / "README.md").exists()

    page = render_board(tmp_path / "toy", [SEA], allow_dirty=True)
    assert cells(page, "Main scores")[0][0] == f"`overlap` {dirty.revision} (dirty)"


def test_a_stored_run_has_scores_but_no_costs(tmp_path: Path) -> None:
    run = RunRetriever(Run(rankings={"q1": [("d1", 1.0)]}, tag="them"), name="run-theirs")
    save_evaluation(tmp_path, evaluate(run, SEA, [make_data()], command="mixbench eval -m run:theirs.trec"))
    page = render_board(tmp_path / "toy", [SEA], allow_dirty=True)
    (row,) = cells(page, "Costs")
    assert row[1:] == ["1 of 1", *["–"] * 8]


def test_costs_of_different_machines_are_in_different_tables(tmp_path: Path) -> None:
    here = store(tmp_path, WordOverlap("here"), SEA)
    provenance = here.provenance.model_copy(update={"machine": "An accelerator", "device": "cuda"})
    costs = here.costs.model_copy(update={"peak_device_bytes": 2_000_000})
    keep(tmp_path, here, model="there", provenance=provenance, costs=costs)

    page = render_board(tmp_path / "toy", [SEA])

    threads = here.provenance.threads
    cpu = cells(page, f"A processor, cpu, {threads} threads")
    gpu = cells(page, f"An accelerator, cuda, {threads} threads")
    assert [row[0].split()[0] for row in cpu] == ["`here`"]
    assert [row[0].split()[0] for row in gpu] == ["`there`"]
    assert gpu[0][-1] == "2"
    assert "Peak device MB" in page


def test_published_scores_stand_beside_ours_with_the_difference(tmp_path: Path) -> None:
    task = make_task(reference={"theirs/overlap": 0.5, "anyword": 0.4, "absent": 0.9})
    result = store(tmp_path, WordOverlap("org/Overlap"), task)

    page = render_board(tmp_path / "toy", [task])

    name = f"`org/Overlap` {result.revision}"
    assert cells(page, "Published scores") == [["sea", name, "0.5000", "0.5436", "+0.0436"]]
    assert re.findall(r"^\| `(.+)` \| (\.\d+) \|$", page, re.MULTILINE) == [
        ("absent", ".900"),
        ("anyword", ".400"),
        ("theirs/overlap", ".500"),
    ]
    assert "Published" not in render_board(tmp_path / "toy", [SEA])


def test_every_row_says_how_to_make_it_again(tmp_path: Path) -> None:
    store(tmp_path, WordOverlap(), SEA)
    page = render_board(tmp_path / "toy", [SEA])

    how = page.split("## How each row was made")[1]
    assert "\n    mixbench eval -m overlap\n" in how
    assert '- recipe: `{"model_sha256": "", "weight": 1.0}`' in how


def test_the_command_that_trained_a_model_stands_before_those_that_evaluate_it(tmp_path: Path) -> None:
    trained = WordOverlap()
    trained.training_command = "mixbench train-retriever tiny -o overlap"
    store(tmp_path, trained, SEA)

    page = render_board(tmp_path / "toy", [SEA])

    assert "\n    mixbench train-retriever tiny -o overlap\n    mixbench eval -m overlap\n" in page


def test_a_task_that_nobody_else_can_make_is_said_to_be_not_reproducible(tmp_path: Path) -> None:
    private = make_task(reproducible=False)
    store(tmp_path, WordOverlap(), private)
    page = render_board(tmp_path / "toy", [private])

    assert "- Not reproducible outside, nobody else can make the same data: sea." in page
    assert "Not reproducible" not in render_board(tmp_path / "toy", [SEA])


def test_a_benchmark_without_results_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(MixbenchError, match=r"no results for 'toy'; run `mixbench eval --tasks toy`"):
        write_board(tmp_path / "toy", [SEA])


def test_results_of_other_metrics_are_never_mixed_in(tmp_path: Path) -> None:
    keep(tmp_path, store(tmp_path, WordOverlap(), SEA), metrics_version=0)

    with pytest.raises(MixbenchError, match="metrics version 0"):
        render_board(tmp_path / "toy", [SEA])
