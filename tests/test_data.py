"""BEIR folders: read, written and checked; bad ones refused by file and line."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_data import CORPUS, edit, json_lines, make_folder

from mixbench.data import Document, RetrievalData
from mixbench.data.beir import find_splits, read_beir_folder, write_beir_folder
from mixbench.data.check import check_folder
from mixbench.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "tiny")


def test_a_beir_folder_gives_every_document_and_the_queries_with_a_relevant_one(folder: Path) -> None:
    data = read_beir_folder(folder, "test")
    assert data.corpus == [
        Document("d1", "Mixers", "A mixer mixes."),
        Document("d2", "", "Kein Titel: ß, 混, 😀"),
        Document("d3", "", ""),
    ]
    assert data.queries == {"q1": "what mixes"}
    assert data.qrels == {"q1": {"d1": 2, "d2": -1}}
    assert (data.split, data.source, data.part) == ("test", "folder", "")


def test_layout_order_and_compression_do_not_enter_the_sha256_but_each_character_does(folder: Path) -> None:
    before = read_beir_folder(folder, "test").sha256
    shuffled = [
        {"text": each["text"], "title": each.get("title"), "_id": each["_id"]} for each in CORPUS[::-1]
    ]
    escaped = "\n\r\n".join(json.dumps(each) for each in shuffled)
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(escaped.encode()))
    assert read_beir_folder(folder, "test").sha256 == before
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(escaped.replace("mixes.", "mixes!").encode()))
    assert read_beir_folder(folder, "test").sha256 != before


def test_a_written_folder_reads_back_the_same_awkward_ids_included(tmp_path: Path) -> None:
    corpus = [
        Document('"Heroes" (album)', "t", "line\u2028separator\x85 and \n break"),
        Document("é", "", "x" * 300_000),
    ]
    splits = [
        RetrievalData(
            corpus=corpus,
            queries={"q": "one"},
            qrels={"q": {corpus[0].doc_id: 1}},
            split="test",
            source="hub",
        ),
        RetrievalData(
            corpus=corpus, queries={'"': "two"}, qrels={'"': {"é": 3}}, split="train", source="hub"
        ),
    ]
    write_beir_folder(splits, tmp_path / "out")
    assert find_splits(tmp_path / "out") == ["test", "train"]
    for data in splits:
        back = read_beir_folder(tmp_path / "out", data.split)
        assert (back.corpus, back.queries, back.qrels) == (data.corpus, data.queries, data.qrels)
    with pytest.raises(InputError, match="is there already; remove it first"):
        write_beir_folder(splits, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def remove(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def overwrite(file: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / file).write_bytes(content)

    return change


QREL = "qrels/test.tsv"
BAD_FOLDERS = {
    "broken JSON": (
        edit("corpus.jsonl", 2, '{"_id": "d2", "text": "x"'),
        "corpus.jsonl:2: broken JSON at column 26",
    ),
    "no object": (edit("corpus.jsonl", 2, "[1]"), "corpus.jsonl:2: '[1]' is not a JSON object"),
    "deep JSON": (edit("corpus.jsonl", 1, "[" * 200_000), "corpus.jsonl:1: "),
    "long number": (
        edit("queries.jsonl", 1, '{"_id": ' + "9" * 5000 + "}"),
        "queries.jsonl:1: JSON that cannot be used",
    ),
    "no id": (edit("corpus.jsonl", 3, '{"text": "x"}'), "corpus.jsonl:3: no '_id'"),
    "empty id": (edit("corpus.jsonl", 3, '{"_id": " ", "text": "x"}'), "corpus.jsonl:3: '_id' ' ' is empty"),
    "number as id": (
        edit("queries.jsonl", 1, '{"_id": 7, "text": "x"}'),
        "queries.jsonl:1: '_id' 7 is not a string",
    ),
    "tab in id": (
        edit("queries.jsonl", 1, '{"_id": "a\\tb", "text": "x"}'),
        "queries.jsonl:1: '_id' 'a\\tb' has a tab",
    ),
    "document twice": (
        edit("corpus.jsonl", 3, '{"_id": "d1", "text": "x"}'),
        "corpus.jsonl:3: '_id' 'd1' is on line 1 already",
    ),
    "query twice": (
        edit("queries.jsonl", 2, '{"_id": "q1", "text": "x"}'),
        "queries.jsonl:2: '_id' 'q1' is on line 1 already",
    ),
    "no text": (edit("corpus.jsonl", 2, '{"_id": "d2"}'), "corpus.jsonl:2: no 'text'"),
    "text is null": (
        edit("corpus.jsonl", 2, '{"_id": "d2", "text": null}'),
        "corpus.jsonl:2: 'text' None is not a string",
    ),
    "title is a list": (
        edit("corpus.jsonl", 2, '{"_id": "d2", "title": [], "text": ""}'),
        "corpus.jsonl:2: 'title' [] is not a string",
    ),
    "half a character": (
        edit("corpus.jsonl", 2, '{"_id": "d2", "text": "\\ud83d"}'),
        "corpus.jsonl:2: 'text' has half a surrogate pair, '\\ud83d'",
    ),
    "empty query": (
        edit("queries.jsonl", 2, '{"_id": "q2", "text": " \\n"}'),
        "queries.jsonl:2: empty 'text'",
    ),
    "not UTF-8": (
        edit("corpus.jsonl", 2, '{"_id": "d2", "text": "caf\udce9"}'),
        "corpus.jsonl:2: not UTF-8 at byte 27 of the line",
    ),
    "qrels not UTF-8": (edit(QREL, 3, "q1\td\udcff\t1"), "test.tsv:3: not UTF-8 at byte 5 of the line"),
    "empty corpus": (overwrite("corpus.jsonl", b"\n"), "corpus.jsonl: holds no document"),
    "no corpus": (remove("corpus.jsonl"), "tiny: no corpus.jsonl (or corpus.jsonl.gz) here"),
    "no queries": (remove("queries.jsonl"), "tiny: no queries.jsonl (or queries.jsonl.gz) here"),
    "no split": (remove(QREL), "test.tsv: no judgments of split 'test'; splits here: none"),
    "empty qrels": (overwrite(QREL, b""), "test.tsv:1: header '' is not"),
    "no header": (edit(QREL, 1, "q1\td1\t2"), "test.tsv:1: header 'q1\\td1\\t2' is not"),
    "header of TREC": (edit(QREL, 1, "query-id\t0\tcorpus-id\tscore"), "test.tsv:1: header"),
    "four columns": (edit(QREL, 3, "q1\t0\td1\t1"), "test.tsv:3: 4 columns in 'q1\\t0\\td1\\t1'"),
    "two columns": (edit(QREL, 3, "q1\td1"), "test.tsv:3: 2 columns in 'q1\\td1'"),
    "half a point": (edit(QREL, 3, "q1\td2\t0.5"), "test.tsv:3: score '0.5' is not an integer"),
    "no score": (edit(QREL, 3, "q1\td2\t"), "test.tsv:3: score '' is not an integer"),
    "unknown query": (edit(QREL, 3, "q9\td1\t1"), "test.tsv:3: query 'q9' is not in queries.jsonl"),
    "unknown document": (edit(QREL, 3, "q1\td9\t1"), "test.tsv:3: document 'd9' is not in corpus.jsonl"),
    "judged twice": (edit(QREL, 3, "q1\td1\t1"), "test.tsv:3: query 'q1' and document 'd1' are judged twice"),
    "nothing relevant": (edit(QREL, 2, "q1\td1\t0"), "test.tsv: no query has a relevant document"),
}


@pytest.mark.parametrize(("damage", "message"), BAD_FOLDERS.values(), ids=BAD_FOLDERS.keys())
def test_a_bad_folder_is_refused_in_one_line_that_names_the_place(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder)
    with pytest.raises(InputError) as caught:
        check_folder(folder)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(folder))


def test_a_cut_off_gzip_file_is_refused_at_the_line_where_it_ends(folder: Path) -> None:
    whole = gzip.compress(json_lines(CORPUS).encode())
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(whole[: len(whole) - 9])
    with pytest.raises(InputError, match=r"corpus\.jsonl\.gz:\d: cannot be read: Compressed file ended"):
        read_beir_folder(folder, "test")


def test_a_check_counts_what_is_allowed_but_worth_knowing(folder: Path) -> None:
    with (folder / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "d4", "text": "Mixers A mixer mixes."}\n')
    report = check_folder(folder)
    assert (report.documents, report.empty_documents, report.duplicate_documents) == (4, 1, 1)
    assert [(each.split, each.queries, each.judgments) for each in report.splits] == [("test", 1, 2)]
    assert report.splits[0].sha256 == read_beir_folder(folder, "test").sha256


def test_real_folders_read_whole(shared_data: Path) -> None:
    report = check_folder(shared_data / "scifact")
    assert report.documents == 5183
    assert [(each.split, each.queries, each.judgments) for each in report.splits] == [
        ("test", 300, 339),
        ("train", 809, 919),
    ]
    assert check_folder(shared_data / "cranfield").empty_documents == 2
