"""The check of a board: whatever was forged, in a result, beside it or on the page, is found out."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from test_leaderboard import LAND, SEA, AnyWord
from word_overlap import WordOverlap, make_data, make_task, store

from mixbench.errors import InputError
from mixbench.evaluation import evaluate, save_evaluation
from mixbench.leaderboard import check_board, write_board
from mixbench.results import encode_query_scores, mean_scores, sha256_text


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
    ],
)
def test_a_forged_field_fails_the_check(board: Path, fields: dict[str, Any], problem: str) -> None:
    change(board, **fields)

    assert any(problem in line for line in check_board(board, [SEA, LAND]))


def test_forged_query_scores_fail_the_check(board: Path) -> None:
    (path,) = board.glob("overlap/*/sea.queries.json.gz")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"0.63093", b"0.73093")))

    problems = check_board(board, [SEA, LAND])

    assert f"{path}: not the query scores that its result was made from; evaluate again" in problems


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
