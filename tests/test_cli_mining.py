"""`mixbench mine` on the command line: what it writes, and what it refuses."""

import gzip
import json
from pathlib import Path

import pytest
from command import Run, add_task, refused
from test_cli_distilling import save_teacher
from test_cli_training import write_pairs
from tiny_data import json_lines

from mixbench.data.pairs import read_pairs

ROWS = [
    ("wing flow plate", "the wing meets flow on a plate today"),
    ("shock jet", "a jet makes a shock"),
    ("plate", "one plate"),
    ("jet", "one wing with a jet"),
    ("sun", "bread and salt"),
]
PLACES = ("--tasks-dir", "../tasks", "--data-dir", "../data")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "things.jsonl"
    path.write_text(json_lines([{"query": query, "positive": positive} for query, positive in ROWS]))
    return path


def test_mined_pairs_are_written_with_negatives_that_can_be_read_again(run: Run, pairs: Path) -> None:
    ended = run("mine", "--pairs", pairs, "-m", "bm25", "-o", "mined.jsonl")
    assert (ended.status, ended.out) == (0, "mined.jsonl\n"), ended.err
    said = "5 pairs, 0.80 negatives a pair; dropped 1 that score too close to the positive, 4 known answers"
    assert ended.err.strip() == f"things: {said}"
    mined = read_pairs(Path("mined.jsonl"))
    assert list(zip(mined.queries, mined.positives, strict=True)) == ROWS
    texts = [positive for _, positive in ROWS]
    # For "jet" two texts of three words score the same; nothing has the word of the last query.
    assert mined.negatives == [(texts[2], texts[3]), (texts[3],), (texts[0],), (), ()]
    assert list(json.loads(Path("mined.jsonl").read_text().splitlines()[0])) == [
        "query",
        "positive",
        "negatives",
    ]


def test_each_model_gives_its_candidates_in_turn(run: Run, pairs: Path, tmp_path: Path) -> None:
    folder = save_teacher(tmp_path / "sage")
    single = {}
    for name in ("bm25", folder):
        ended = run(
            "mine", "--pairs", pairs, "-m", name, "-o", "one.jsonl", "--relative", 1, "--overwrite",
        )  # fmt: skip
        assert ended.status == 0, ended.err
        single[name] = read_pairs(Path("one.jsonl")).negatives
    ended = run("mine", "--pairs", pairs, "-m", "bm25", "-m", folder, "-o", "both.jsonl", "--relative", 1)
    assert ended.status == 0, ended.err
    both = read_pairs(Path("both.jsonl")).negatives
    assert single["bm25"] is not None
    assert single[folder] is not None
    assert both is not None
    for lexical, dense, merged in zip(single["bm25"], single[folder], both, strict=True):
        assert set(merged) == {*lexical, *dense}
        assert len(set(merged)) == len(merged)
        assert merged[:1] == (lexical or dense)[:1]
    assert any(
        set(dense) - set(lexical) for lexical, dense in zip(single["bm25"], single[folder], strict=True)
    )


def test_the_same_pairs_give_the_same_bytes_packed_or_not(run: Run, pairs: Path) -> None:
    for name in ("one.jsonl", "one.jsonl.gz", "two.jsonl.gz"):
        assert run("mine", "--pairs", pairs, "-m", "bm25", "-o", name).status == 0
    packed = Path("one.jsonl.gz").read_bytes()
    assert packed == Path("two.jsonl.gz").read_bytes()
    assert gzip.decompress(packed) == Path("one.jsonl").read_bytes()
    assert packed[4:8] == bytes(4)  # no time in the header


def test_a_train_split_is_mined_for(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "tiny"
    corpus = [{"_id": f"d{n}", "title": "T", "text": text} for n, (_, text) in enumerate(ROWS)]
    (folder / "corpus.jsonl").write_text(json_lines(corpus))
    (folder / "queries.jsonl").write_text(
        json_lines([{"_id": f"q{n}", "text": query} for n, (query, _) in enumerate(ROWS)])
    )
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(3))
    for split in ("train", "test"):
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    task = (tmp_path / "tasks/zoo/tiny.toml").read_text()
    add_task(tmp_path, "tiny", task + 'train_split = "train"\n')
    ended = run("mine", "--task", "zoo/tiny", "-m", "minmax:bm25,bm25plus", "-o", "m.jsonl", *PLACES)
    assert ended.status == 0, ended.err
    mined = read_pairs(Path("m.jsonl"))
    assert mined.positives == [f"T {text}" for _, text in ROWS[:3]]
    # Documents 4 and 5 are no positives of the split, so they are not in the corpus.
    assert mined.negatives == [("T one plate",), (), ("T " + ROWS[0][1],)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "bm25"], "give --pairs PATH or --task NAME"),
        (["-m", "bm25", "--pairs", "../p.jsonl", "--task", "zoo/tiny"], "mine for one source"),
        (["-m", "bm52", "--pairs", "../p.jsonl"], "unknown model 'bm52'; did you mean 'bm25'"),
        (["-m", "bm25", "--pairs", "absent.jsonl"], "absent.jsonl: no such file"),
        (["-m", "bm25", "--task", "zoo/tiny", *PLACES], "has no train split"),
        (["-m", "bm25", "--pairs", "../p.jsonl", "--skip", "9", "--depth", "9"], "skip is 9 and depth 9"),
        (["-m", "bm25", "--pairs", "../p.jsonl", "--relative", "1.5"], "relative is 1.5"),
        (["-m", "tuned:bm25,bm25plus", "--pairs", "../p.jsonl"], "'tuned-bm25+bm25plus' cannot mine"),
        (["-m", "rrf:bm25,run:../a.run", "--pairs", "../p.jsonl"], "'run-a' cannot mine"),
        (["-m", "bm25", "--pairs", "../one.jsonl"], "one: no pair of 1 gets a negative"),
    ],
)
def test_mining_that_cannot_be_done_is_one_line_and_nothing_is_written(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_pairs(tmp_path / "p.jsonl")
    write_pairs(tmp_path / "one.jsonl", count=1)
    (tmp_path / "a.run").write_text("q1 Q0 d1 1 0.5 tag\n")
    refused(run("mine", *arguments, "-o", "mined.jsonl"), message)
    assert list(Path().iterdir()) == []


def test_a_file_is_replaced_only_when_that_is_asked_for(run: Run, pairs: Path) -> None:
    Path("mined.jsonl").write_text("mine")
    refused(run("mine", "--pairs", pairs, "-m", "bm25", "-o", "mined.jsonl"), "mined.jsonl: exists already")
    assert Path("mined.jsonl").read_text() == "mine"
    assert run("mine", "--pairs", pairs, "-m", "bm25", "-o", "mined.jsonl", "--overwrite").status == 0
    assert len(read_pairs(Path("mined.jsonl"))) == 5
    refused(run("mine", "--pairs", pairs, "-m", "bm25", "-o", "mined.csv"), "mined.csv: mined pairs are")
