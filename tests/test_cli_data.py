"""The command line on data: what is refused by file and line, `data check` and `data qrels`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import TASK, Run, add_task, evaluate, refused
from tiny_data import edit

from mixbench.results import find_results

QREL = "qrels/test.tsv"


def empty(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes(b"")


BAD_DATA = {
    "broken JSON line": (edit("corpus.jsonl", 2, '{"_id": "d2"'), "corpus.jsonl:2: broken JSON"),
    "broken JSON query": (edit("queries.jsonl", 1, "what mixes"), "queries.jsonl:1: broken JSON"),
    "document id twice": (
        edit("corpus.jsonl", 3, '{"_id": "d1", "text": "x"}'),
        "corpus.jsonl:3: '_id' 'd1'",
    ),
    "query id twice": (edit("queries.jsonl", 2, '{"_id": "q1", "text": "x"}'), "queries.jsonl:2: '_id' 'q1'"),
    "document without id": (edit("corpus.jsonl", 3, '{"text": "x"}'), "corpus.jsonl:3: no '_id'"),
    "query without id": (edit("queries.jsonl", 1, '{"text": "x"}'), "queries.jsonl:1: no '_id'"),
    "judged unknown document": (edit(QREL, 2, "q1\td9\t1"), "test.tsv:2: document 'd9'"),
    "judged unknown query": (edit(QREL, 2, "q9\td1\t1"), "test.tsv:2: query 'q9'"),
    "empty corpus": (empty("corpus.jsonl"), "corpus.jsonl: holds no document"),
    "empty text": (edit("queries.jsonl", 1, '{"_id": "q1", "text": " "}'), "queries.jsonl:1: empty 'text'"),
    "no text": (edit("corpus.jsonl", 1, '{"_id": "d1"}'), "corpus.jsonl:1: no 'text'"),
    "not UTF-8": (edit("corpus.jsonl", 1, '{"_id": "d1", "text": "\udce9"}'), "corpus.jsonl:1: not UTF-8"),
    "qrels not UTF-8": (edit(QREL, 2, "q1\td\udce9\t1"), "test.tsv:2: not UTF-8"),
    "wrong header": (edit(QREL, 1, "query\tdocument\tscore"), "test.tsv:1: header"),
    "no header": (edit(QREL, 1, "q1\td1\t1"), "test.tsv:1: header"),
    "half a score": (edit(QREL, 2, "q1\td1\t0.5"), "test.tsv:2: score '0.5'"),
}


@pytest.mark.parametrize(("damage", "message"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_is_refused_by_file_and_line_and_nothing_is_written(
    run: Run, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(tmp_path / "data" / "tiny")
    refused(evaluate(run, "-m", "bm25", "-t", "zoo"), message)
    ended = run("data", "check", "../data/tiny")
    refused(ended, message)
    assert ended.err.count("\n") == 1
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("description = \n", "tiny.toml:1: not TOML"),
        (TASK + "colour = 1\n", "tiny.toml:6: unknown key 'colour'"),
        (TASK + 'main_metric = "accuracy"\n', "accuracy"),
    ],
)
def test_a_bad_task_file_is_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, text: str, message: str
) -> None:
    add_task(tmp_path, "tiny", text)
    refused(evaluate(run, "-m", "bm25", "-t", "zoo"), message)


def test_an_id_that_looks_like_markup_is_an_id_as_any_other(run: Run, tmp_path: Path) -> None:
    edit("corpus.jsonl", 1, '{"_id": "[/b] x", "text": "A mixer mixes."}')(tmp_path / "data" / "tiny")
    edit(QREL, 2, "q1\t[/b] x\t1")(tmp_path / "data" / "tiny")
    ended = evaluate(run, "-m", "bm25", "-t", "zoo")
    assert ended.status == 0
    assert "no run written for zoo/tiny" in ended.err
    assert find_results(Path("out"))[0].scores.ndcg_at_10 == 1.0


def test_data_check_prints_what_a_folder_holds(run: Run) -> None:
    ended = run("data", "check", "../data/tiny")
    assert (ended.status, ended.err) == (0, "")
    first, second = ended.out.splitlines()
    assert first == "../data/tiny: 3 documents (1 empty, 0 duplicates)"
    assert second.startswith("test: 1 queries, 2 judgments, sha256 ")


def test_data_check_records_the_hash_in_the_task_that_eval_then_compares(run: Run, tmp_path: Path) -> None:
    ended = run("data", "check", "../data/tiny", "--record", "--tasks-dir", "../tasks")
    assert ended.status == 0
    sha256 = ended.out.splitlines()[1].split()[-1]
    assert f'sha256 = "{sha256}"' in (tmp_path / "tasks" / "zoo" / "tiny.toml").read_text()
    evaluate(run, "-m", "bm25", "-t", "zoo")
    assert find_results(Path("out"))[0].data_matches_task is True


def test_data_qrels_prints_judgments_that_stand_for_beirs_own(run: Run, tmp_path: Path) -> None:
    places = ("--tasks-dir", "../tasks", "--data-dir", "../data")
    ended = run("data", "qrels", "zoo/tiny", *places)
    assert (ended.status, ended.out, ended.err) == (0, "q1 0 d1 2\nq1 0 d2 -1\n", "")
    evaluate(run, "-m", "bm25", "-t", "zoo")
    (before,) = find_results(Path("out"))
    (tmp_path / "data" / "tiny" / QREL).unlink()
    (tmp_path / "data" / "tiny" / "qrels" / "test.trec").write_text(ended.out)
    assert run("data", "qrels", "zoo/tiny", *places).out == ended.out
    evaluate(run, "-m", "bm25", "-t", "zoo", "--overwrite")
    (after,) = find_results(Path("out"))
    assert (after.data_sha256, after.scores) == (before.data_sha256, before.scores)
    refused_split = run("data", "qrels", "zoo/tiny", *places, "--split", "dev")
    assert (refused_split.status, refused_split.out) == (1, "")
    assert "no judgments of split 'dev'; splits here: test" in refused_split.err


def test_trec_judgments_of_a_beir_folder_are_checked_like_its_own(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "data" / "tiny" / "qrels" / "test.trec"
    path.write_text("q1 0 d1 1\n")
    refused(evaluate(run, "-m", "bm25", "-t", "zoo"), "test.trec: the split has judgments in test.tsv too")
    (tmp_path / "data" / "tiny" / QREL).unlink()
    for line, part in {
        "q1 0 d9 1": "'d9' is not in corpus.jsonl",
        "q1 0 d1 yes": "'yes' is not an int",
    }.items():
        path.write_text(f"q1 0 d2 1\n{line}\n")
        refused(evaluate(run, "-m", "bm25", "-t", "zoo"), f"{path.name}:2: ", part)


def test_a_file_of_pairs_is_split_by_passages_and_keeps_its_name(run: Run, tmp_path: Path) -> None:
    rows = [{"query": f"q{n}", "positive": f"passage {n // 2}"} for n in range(40)]
    rows[0]["negatives"] = ["other"]
    (tmp_path / "things.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = run("data", "split", "../things.jsonl", "-o", "parts", "--test", 9)
    assert (ended.status, ended.out.split()) == (0, ["parts/train/things.jsonl", "parts/test/things.jsonl"])
    train, test = (
        [json.loads(line) for line in Path(f"parts/{part}/things.jsonl").read_text().splitlines()]
        for part in ("train", "test")
    )
    assert (len(train), len(test)) == (30, 10)
    assert not {row["positive"] for row in train} & {row["positive"] for row in test}
    assert sorted([*train, *test], key=str) == sorted(rows, key=str)
    before = Path("parts/test/things.jsonl").read_text()
    run("data", "split", "../things.jsonl", "-o", "parts", "--test", 9, "--seed", 1)
    assert Path("parts/test/things.jsonl").read_text() != before
    ended = run("data", "split", "../things.jsonl", "-o", "out", "--test", 39)
    refused(ended, "things: cannot hold 39 dev pairs out of 40")
