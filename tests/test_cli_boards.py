"""The command line on boards: pages that prove themselves, forged ones found out."""

import gzip
import json
from pathlib import Path

import pytest
from command import TASK, Ended, Run, add_task, evaluate, refused

from mixbench.results import sha256_text


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


def test_query_scores_forged_with_all_that_depends_on_them_are_found_by_the_run_and_the_data(
    run: Run, board: Path
) -> None:
    (path,) = Path("out").rglob("tiny.json")
    beside = path.with_name("tiny.queries.json.gz")
    text = gzip.decompress(beside.read_bytes()).replace(b'"ndcg_at_10":[1.0', b'"ndcg_at_10":[0.5')
    beside.write_bytes(gzip.compress(text))
    result = json.loads(path.read_text())
    result["scores"]["ndcg_at_10"] -= 0.5 / result["n_queries"]
    result["queries_sha256"] = sha256_text(text.decode())
    path.write_text(json.dumps(result))
    places = ("--output", "out", "--tasks-dir", "../tasks")
    run("leaderboard", "zoo", *places)

    without = run("leaderboard", "zoo", *places, "--check")
    found = run("leaderboard", "zoo", *places, "--check", "--data-dir", "../data")

    assert without == Ended(0, "", "")  # the data is not looked at: the forgery agrees with itself
    assert found.status == 3
    assert f"{path}: the query scores are not those of {path.parent}/runs/tiny.trec" in found.out


def test_a_forged_run_is_found_by_the_data(run: Run, board: Path) -> None:
    (trec,) = Path("out").rglob("tiny.trec")
    trec.write_text(trec.read_text().replace(" d1 ", " d2 "))

    ended = run(
        "leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks", "--check", "--data-dir", "../data"
    )

    assert ended.status == 3
    assert "the query scores are not those of" in ended.out


def test_a_board_is_proved_from_its_run_and_its_data(run: Run, board: Path) -> None:
    places = ("--output", "out", "--tasks-dir", "../tasks", "--data-dir", "../data")
    assert run("leaderboard", "zoo", *places, "--check") == Ended(0, "", "")

    corpus = Path("../data/tiny/corpus.jsonl")
    corpus.write_text(corpus.read_text().replace("A mixer mixes.", "A mixer mixed."))
    ended = run("leaderboard", "zoo", *places, "--check")

    assert (ended.status, ended.out) == (0, "")
    assert "the data of zoo/tiny here is not what it is for; its run is not scored again" in ended.err


def test_forged_clusters_are_found_by_the_data(run: Run, tmp_path: Path) -> None:
    add_task(tmp_path, "tiny", TASK + "known_item = true\n")
    evaluate(run, "-m", "bm25", "-t", "zoo")
    (clusters,) = Path("out/zoo").glob("tiny.*.clusters.json.gz")
    text = gzip.decompress(clusters.read_bytes())
    assert json.loads(text)["clusters"] == [0]
    places = ("--output", "out", "--tasks-dir", "../tasks")
    run("leaderboard", "zoo", *places, "--allow-dirty")

    clusters.write_bytes(gzip.compress(text.replace(b"[0]", b"[1]")))

    ended = run("leaderboard", "zoo", *places, "--check", "--data-dir", "../data")
    assert ended.status == 3
    assert f"{clusters} is not which queries share a document" in ended.out


def test_a_board_is_written_as_csv_and_json_too(run: Run, board: Path) -> None:
    places = ("--output", "out", "--tasks-dir", "../tasks")

    ended = run("leaderboard", "zoo", *places, "--csv", "board.csv", "--json", "board.json")

    assert ended.out.splitlines() == ["out/zoo/README.md", "board.csv", "board.json"]
    assert Path("board.csv").read_text().splitlines()[1].startswith("bm25,")
    assert json.loads(Path("board.json").read_text())["rows"][0]["model"] == "bm25"
    assert run("leaderboard", "zoo", *places, "--check", "--csv", "board.csv").status == 2


def test_a_board_without_results_is_refused(run: Run) -> None:
    refused(run("leaderboard", "zoo", "--output", "out"), "out: no results here", "mixbench eval -t zoo")


def test_a_board_beside_others_is_refused_with_their_names(run: Run) -> None:
    Path("out/farm").mkdir(parents=True)
    ended = run("leaderboard", "zoo", "--output", "out")
    assert ended.status == 1
    assert "unknown benchmark with results in out 'zoo'; known: farm" in ended.err
