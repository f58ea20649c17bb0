"""The command line on boards: pages that prove themselves, forged ones found out."""

import json
from pathlib import Path

import pytest
from command import Ended, Run, evaluate, refused


@pytest.fixture
def board(run: Run) -> Path:
    """A page made from a result that, like a committed one, comes from a clean checkout."""
    evaluate(run, "-m", "bm25", "-t", "zoo")
    (path,) = Path("out").rglob("tiny.json")
    result = json.loads(path.read_text())
    result["provenance"] |= {"dirty": False, "commit": "0" * 40}
    path.write_text(json.dumps(result))
    ended = run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks")
    assert (ended.status, ended.out) == (0, "out/zoo/README.md\n")
    return Path("out/zoo/README.md")


def test_a_page_is_rendered_and_proves_itself(run: Run, board: Path) -> None:
    assert "bm25" in board.read_text()
    assert "[1.000](bm25/" in board.read_text()
    ended = run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks", "--check")
    assert ended == Ended(0, "", "")


def test_a_forged_page_fails_the_check_with_status_3(run: Run, board: Path) -> None:
    board.write_text(board.read_text().replace("bm25", "best"))
    forged = board.read_bytes()
    ended = run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks", "--check")
    assert (ended.status, ended.err) == (3, "")
    assert "README.md: not the page of these results" in ended.out
    assert board.read_bytes() == forged


def test_a_forged_score_fails_the_check_though_the_page_is_rendered_from_it(run: Run, board: Path) -> None:
    (path,) = Path("out").rglob("tiny.json")
    result = json.loads(path.read_text())
    result["scores"]["ndcg_at_10"] = 0.5
    path.write_text(json.dumps(result))
    run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks")
    ended = run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks", "--check")
    assert ended.status == 3
    assert "the scores are not the means of the query scores" in ended.out


def test_a_board_without_results_is_refused(run: Run) -> None:
    refused(run("leaderboard", "zoo", "--output", "out"), "unknown benchmark with results in out 'zoo'")
