"""Leaderboards: pages that say what the results do, and refuse what cannot be vouched for."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from word_overlap import CORPUS, WordOverlap, make_data, make_task, store

from mixbench.errors import InputError, MixbenchError
from mixbench.evaluation import evaluate, save_evaluation
from mixbench.interop.trec import Run
from mixbench.leaderboard import check_board, render, write_board
from mixbench.results import Result, encode_query_scores, find_results, mean_scores, sha256_text
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


def test_rows_are_models_with_the_best_mean_first_and_cells_link_to_results(tmp_path: Path) -> None:
    good, bad = WordOverlap(), AnyWord()
    stored = [store(tmp_path, each, task) for each in (bad, good) for task in (SEA, LAND)]

    rows = cells(render("toy", stored, [SEA, LAND]), "Main scores")

    land, sea = stored[3], stored[2]
    assert [row[0] for row in rows] == [f"`overlap` {sea.revision}", f"`anyword` {stored[0].revision}"]
    assert sea.scores.ndcg_at_10 == pytest.approx(0.543643)
    assert rows[0][1:] == [".544", f"[.544]({place(land)})", f"[.544]({place(sea)})"]


def test_a_page_is_the_same_bytes_in_whatever_order_results_come(tmp_path: Path) -> None:
    stored = [store(tmp_path, each, task) for each in (AnyWord(), WordOverlap()) for task in (SEA, LAND)]

    assert render("toy", stored, [SEA, LAND]) == render("toy", stored[::-1], [LAND, SEA])


def test_results_that_are_written_link_to_files_that_exist(tmp_path: Path) -> None:
    for task in (SEA, LAND):
        store(tmp_path, WordOverlap("org/overlap"), task)

    page = write_board(tmp_path / "toy", [SEA, LAND])

    links = re.findall(r"\]\(([^)]+)\)", page.read_text())
    assert len(links) == 2
    assert all((page.parent / link).is_file() for link in links)


def test_a_row_that_lacks_a_task_has_no_mean_and_comes_last(tmp_path: Path) -> None:
    stored = [store(tmp_path, WordOverlap(), SEA)]
    stored += [store(tmp_path, AnyWord(), task) for task in (SEA, LAND)]

    rows = cells(render("toy", stored, [SEA, LAND]), "Main scores")

    assert [row[0].split()[0] for row in rows] == ["`anyword`", "`overlap`"]
    assert rows[1][1:3] == ["–", "–"]


def test_a_page_says_that_it_is_partial_and_what_is_absent(tmp_path: Path) -> None:
    page = render("toy", [store(tmp_path, WordOverlap(), SEA)], [SEA, LAND, make_task("other/air")])

    assert "**Partial: 1 of 2 tasks have results here.** Without any: land." in page
    assert "Partial" not in render("toy", find_results(tmp_path), [SEA])


def test_in_domain_cells_and_unknown_training_are_marked(tmp_path: Path) -> None:
    trained = store(tmp_path, WordOverlap("trained", training_sources=["land"]), LAND)
    clean = store(tmp_path, WordOverlap("clean", training_sources=["squad"]), LAND)
    unknown = clean.model_copy(update={"model": "unknown", "training_sources": None})

    page = render("toy", [trained, clean, unknown], [LAND])

    marks = {row[0].split()[0]: row[1].partition(")")[2] for row in cells(page, "Main scores")}
    assert marks == {"`trained`": "†", "`clean`": "", "`unknown`": "?"}
    assert "? nobody says what the model was trained on." in page
    assert "- trained on: squad" in page


def test_a_mean_over_an_in_domain_cell_is_marked_too(tmp_path: Path) -> None:
    stored = [store(tmp_path, WordOverlap(training_sources=["land"]), task) for task in (SEA, LAND)]

    assert cells(render("toy", stored, [SEA, LAND]), "Main scores")[0][1] == ".544†"


def test_results_for_other_data_are_marked(tmp_path: Path) -> None:
    changed = make_data((*CORPUS[:3], CORPUS[3]._replace(text="what moves")))
    usual = [store(tmp_path, each, SEA) for each in (WordOverlap("a"), WordOverlap("b"))]
    other = evaluate(WordOverlap("c"), SEA, [changed], command="").result

    page = render("toy", [*usual, other], [SEA], allow_dirty=True)
    recorded = render("toy", [*usual, other], [make_task(sha256=changed.sha256)], allow_dirty=True)

    assert ["‡" in row[1] for row in sorted(cells(page, "Main scores"))] == [False, False, True]
    assert ["‡" in row[1] for row in sorted(cells(recorded, "Main scores"))] == [True, True, False]
    assert "not comparable within its column" in page


def test_known_item_tasks_and_removed_identical_ids_are_said(tmp_path: Path) -> None:
    task = make_task(known_item=True, remove_identical=True)

    page = render("toy", [store(tmp_path, WordOverlap(), task)], [task])

    assert "- Known-item tasks, each query made from the document it looks for: sea." in page
    assert "- A document with the query's own id is removed, as mteb does, in: sea." in page


def test_results_of_uncommitted_code_are_refused_by_name_or_marked(tmp_path: Path) -> None:
    dirty = store(tmp_path, WordOverlap(), SEA, dirty=True)

    with pytest.raises(MixbenchError, match=re.escape(str(dirty.place))):
        render("toy", [dirty], [SEA])
    with pytest.raises(MixbenchError, match="uncommitted"):
        write_board(tmp_path / "toy", [SEA])
    assert not (tmp_path / "toy" / "README.md").exists()

    page = render("toy", [dirty], [SEA], allow_dirty=True)
    assert cells(page, "Main scores")[0][0] == f"`overlap` {dirty.revision} (dirty)"


def test_a_stored_run_has_scores_but_no_costs(tmp_path: Path) -> None:
    run = RunRetriever(Run(rankings={"q1": [("d1", 1.0)]}, tag="them"), name="run-theirs")
    evaluation = evaluate(run, SEA, [make_data()], command="mixbench eval -m run:theirs.trec")
    page = render("toy", [evaluation.result], [SEA], allow_dirty=True)
    (row,) = cells(page, "Costs")
    assert row[1:] == ["1 of 1", *["–"] * 6]


def test_costs_of_different_machines_are_in_different_tables(tmp_path: Path) -> None:
    here = store(tmp_path, WordOverlap("here"), SEA)
    provenance = here.provenance.model_copy(update={"machine": "An accelerator", "device": "cuda"})
    costs = here.costs.model_copy(update={"peak_device_bytes": 2_000_000})
    there = here.model_copy(update={"model": "there", "provenance": provenance, "costs": costs})

    page = render("toy", [here, there], [SEA])

    threads = here.provenance.threads
    cpu = cells(page, f"A processor, cpu, {threads} threads")
    gpu = cells(page, f"An accelerator, cuda, {threads} threads")
    assert [row[0].split()[0] for row in cpu] == ["`here`"]
    assert [row[0].split()[0] for row in gpu] == ["`there`"]
    assert gpu[0][-1] == "2"
    assert "Peak device MB" in page


def test_published_scores_stand_beside_ours_with_the_difference(tmp_path: Path) -> None:
    task = make_task(reference={"overlap": 0.5, "anyword": 0.4, "absent": 0.9})
    result = store(tmp_path, WordOverlap("org/Overlap"), task)

    page = render("toy", [result], [task])

    name = f"`org/Overlap` {result.revision}"
    assert cells(page, "Published scores") == [["sea", name, "0.5000", "0.5436", "+0.0436"]]
    assert "Published" not in render("toy", [result], [SEA])


def test_every_row_says_how_to_make_it_again(tmp_path: Path) -> None:
    page = render("toy", [store(tmp_path, WordOverlap(), SEA)], [SEA])

    how = page.split("## How each row was made")[1]
    assert "\n    mixbench eval -m overlap\n" in how
    assert '- recipe: `{"model_sha256": "", "weight": 1.0}`' in how


def test_the_command_that_trained_a_model_stands_before_those_that_evaluate_it(tmp_path: Path) -> None:
    trained = WordOverlap()
    trained.training_command = "mixbench train-retriever tiny -o overlap"

    page = render("toy", [store(tmp_path, trained, SEA)], [SEA])

    assert "\n    mixbench train-retriever tiny -o overlap\n    mixbench eval -m overlap\n" in page


def test_a_task_that_nobody_else_can_make_is_said_to_be_not_reproducible(tmp_path: Path) -> None:
    private = make_task(reproducible=False)
    page = render("toy", [store(tmp_path, WordOverlap(), private)], [private])

    assert "- Not reproducible outside, nobody else can make the same data: sea." in page
    assert "Not reproducible" not in render("toy", [store(tmp_path, WordOverlap(), SEA)], [SEA])


def test_a_benchmark_without_results_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(MixbenchError, match=r"no results for 'toy'; run `mixbench eval --tasks toy`"):
        write_board(tmp_path / "toy", [SEA])


def test_results_of_other_metrics_are_never_mixed_in(tmp_path: Path) -> None:
    result = store(tmp_path, WordOverlap(), SEA).model_copy(update={"metrics_version": 0})

    with pytest.raises(MixbenchError, match="metrics version 0"):
        render("toy", [result], [SEA])


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A folder with a page, two rows and two tasks."""
    for retriever in (WordOverlap(training_sources=["squad"]), AnyWord()):
        for task in (SEA, LAND):
            store(tmp_path, retriever, task)
    write_board(tmp_path / "toy", [SEA, LAND])
    return tmp_path / "toy"


def change(board: Path, **fields: Any) -> None:
    """Rewrite fields of one result, and the page after it."""
    (path,) = board.glob("overlap/*/sea.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    write_board(board, [SEA, LAND])


def test_a_page_of_its_results_passes_the_check(board: Path) -> None:
    assert check_board(board, [SEA, LAND]) == []


def test_a_page_edited_by_hand_fails_the_check(board: Path) -> None:
    page = board / "README.md"
    page.write_text(page.read_text().replace(".544", ".644"))

    (problem,) = check_board(board, [SEA, LAND])

    assert "README.md: not the page of these results" in problem


def test_a_missing_page_fails_the_check(board: Path) -> None:
    (board / "README.md").unlink()

    (problem,) = check_board(board, [SEA, LAND])

    assert "README.md: cannot be read" in problem


def test_a_forged_score_fails_the_check_though_the_page_agrees(board: Path) -> None:
    (path,) = board.glob("overlap/*/sea.json")
    scores = json.loads(path.read_text())["scores"]
    change(board, scores={**scores, "ndcg_at_10": scores["ndcg_at_10"] + 1e-9})

    (problem,) = check_board(board, [SEA, LAND])

    assert (
        problem
        == f"{path}: the scores are not the means of the query scores; evaluate again with --overwrite"
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"data_sha256": "0" * 64}, "the identity is not that of its fields"),
        ({"identity": "0" * 64}, "the identity is not that of its fields"),
        ({"recipe": {"weight": 3.0, "model_sha256": ""}}, "the revision is not that of the recipe"),
        ({"model_sha256": "0" * 64}, "model_sha256 is not that of the recipe"),
        ({"n_queries": 4}, "n_queries is not the number of query scores"),
        ({"training_sources": ["sea"]}, "in_domain is not what the task file says"),
        ({"in_domain": ["squad"]}, "in_domain is not what the task file says"),
        ({"data_matches_task": True}, "data_matches_task is not what the task file says"),
        ({"main_metric": "mrr_at_10"}, "the split, parts, metric or marks"),
        ({"remove_identical": True}, "the split, parts, metric or marks"),
        ({"queries_sha256": "0" * 64}, "not the query scores that its result was made from"),
    ],
)
def test_a_forged_field_fails_the_check(board: Path, fields: dict[str, Any], problem: str) -> None:
    change(board, **fields)

    assert any(problem in line for line in check_board(board, [SEA, LAND]))


def test_a_dirty_result_fails_the_check(board: Path, tmp_path: Path) -> None:
    store(tmp_path, WordOverlap("dirty"), SEA, dirty=True)
    write_board(board, [SEA, LAND], allow_dirty=True)

    assert any("uncommitted code" in problem for problem in check_board(board, [SEA, LAND]))


def test_a_damaged_result_is_a_problem_and_the_others_are_checked_all_the_same(board: Path) -> None:
    (first,) = board.glob("overlap/*/sea.json")
    (second,) = board.glob("anyword/*/sea.queries.json.gz")
    first.write_text("{")
    second.unlink()

    problems = check_board(board, [SEA, LAND])

    assert any(line.startswith(f"{first}:1: not JSON") for line in problems)
    assert any(line.startswith(f"{second}: cannot be read") for line in problems)
    with pytest.raises(InputError):
        write_board(board, [SEA, LAND])


def test_parts_are_checked_too(tmp_path: Path) -> None:
    task = make_task(parts={"one": "ToyOne", "two": "ToyTwo"})
    evaluation = evaluate(WordOverlap(), task, [make_data(part="one"), make_data(part="two")], command="")
    clean = evaluation.result.provenance.model_copy(update={"dirty": False})
    result = evaluation.result.model_copy(update={"provenance": clean})
    path = save_evaluation(tmp_path, type(evaluation)(**{**vars(evaluation), "result": result}))
    write_board(tmp_path / "toy", [task])
    assert check_board(tmp_path / "toy", [task]) == []

    forged = json.loads(path.read_text())
    forged["parts"]["one"]["mrr_at_10"] = 0.9
    path.write_text(json.dumps(forged))
    assert any("not the means" in problem for problem in check_board(tmp_path / "toy", [task]))


def test_query_scores_are_hashed_as_they_are_written(tmp_path: Path) -> None:
    evaluation = evaluate(WordOverlap(), SEA, [make_data()], command="")

    assert evaluation.result.queries_sha256 == sha256_text(encode_query_scores(evaluation.query_scores))
    assert mean_scores(evaluation.query_scores)[0] == evaluation.result.scores
