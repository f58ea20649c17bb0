"""Training pairs: reading, splitting, weighing, and keeping test data out."""

import bz2
import gzip
import hashlib
import json
import lzma

import pytest

from mixbench.data import Document, RetrievalData
from mixbench.data.pairs import Pairs, exclude, hold_out, pairs_from_task, read_pairs, weighted
from mixbench.errors import InputError

TWO = [("who?", "A person."), ("where?", "A place.")]
LINES = "".join(json.dumps({"query": q, "positive": p}) + "\n" for q, p in TWO)


def as_pairs(*rows: tuple[str, str], name: str = "p") -> Pairs:
    return Pairs(name, [query for query, _ in rows], [positive for _, positive in rows])


def as_rows(pairs: Pairs) -> list[tuple[str, str]]:
    return list(zip(pairs.queries, pairs.positives, strict=True))


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_compression_changes_neither_the_pairs_nor_their_hash(tmp_path, suffix, pack):
    path = tmp_path / f"some.jsonl{suffix}"
    path.write_bytes(pack(LINES.encode()))
    pairs = read_pairs(path)
    assert (pairs.name, as_rows(pairs), pairs.sha256) == ("some", TWO, as_pairs(*TWO).sha256)


def test_parquet_gives_the_same_pairs(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"query": [q for q, _ in TWO], "positive": [p for _, p in TWO], "id": [1, 2]})
    parquet.write_table(table, tmp_path / "some.parquet")
    assert as_rows(read_pairs(tmp_path / "some.parquet")) == TWO


HARD = Pairs("hard", ["a", "b", "c"], ["A", "B", "C"], [("x", "y"), (), ("z",)])


def test_negatives_are_read_from_lines_that_have_them(tmp_path):
    path = tmp_path / "hard.jsonl"
    path.write_text(
        '{"query": "a", "positive": "A", "negatives": ["x", "y"]}\n'
        '{"query": "b", "positive": "B"}\n'
        '{"query": "c", "positive": "C", "negatives": ["z"]}\n'
    )
    assert read_pairs(path) == HARD
    path.write_text('{"query": "a", "positive": "A", "negatives": null}\n')
    assert read_pairs(path).negatives is None


def test_negatives_are_read_from_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    from pyarrow import parquet

    columns = {"query": ["a", "b", "c"], "positive": ["A", "B", "C"]}
    table = pyarrow.table({**columns, "negatives": [["x", "y"], None, ["z"]]})
    parquet.write_table(table, tmp_path / "hard.parquet")
    assert read_pairs(tmp_path / "hard.parquet") == HARD
    parquet.write_table(pyarrow.table({**columns, "negatives": ["x", "y", "z"]}), tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=r"bad\.parquet:1: 'negatives' must be a list of texts, not 'x'"):
        read_pairs(tmp_path / "bad.parquet")


def test_negatives_stay_with_their_pairs():
    tests = RetrievalData(corpus=[], queries={"q": "A"}, qrels={}, split="test", source="folder")
    named_like_a_negative = RetrievalData(
        corpus=[Document("1", "", "x")],
        queries={"q": "z"},
        qrels={"q": {"1": 1}},
        split="test",
        source="folder",
    )
    kept, counts = exclude(HARD, [tests, named_like_a_negative])
    assert (kept.queries, kept.negatives) == (["b", "c"], [(), ("z",)])
    assert counts == {"test_query": 1, "test_document": 0}
    train, dev = hold_out(HARD, 1, seed=0)
    (held,) = dev.queries
    assert dict(zip(HARD.queries, HARD.negatives, strict=True))[held] == dev.negatives[0]
    assert (len(train.negatives), len(dev.negatives)) == (2, 1)
    assert weighted(HARD, 2, 0).negatives == [*HARD.negatives] * 2


def test_negatives_enter_the_hash_and_their_absence_leaves_it():
    hashes = {
        Pairs("p", HARD.queries, HARD.positives, negatives).sha256
        for negatives in (None, HARD.negatives, [("x",), ("y",), ("z",)], [("y", "x"), (), ("z",)])
    }
    assert len(hashes) == 4
    lines = b'["who?", "A person."]\n["where?", "A place."]\n'
    assert as_pairs(*TWO).sha256 == hashlib.sha256(lines).hexdigest()


def test_a_changed_character_or_order_changes_the_hash():
    hashes = {
        as_pairs(*TWO).sha256,
        as_pairs(*reversed(TWO)).sha256,
        as_pairs(("Who?", TWO[0][1]), TWO[1]).sha256,
    }
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("second_line", "problem"),
    [
        (b'{"query": "a", ', ":2: not JSON"),
        (b'{"query": "a"}', ":2: no 'positive', its keys are ['query']; a line is {'query'"),
        (b'{"query": "a", "positive": " "}', ":2: 'positive' must be a non-empty text, not ' '"),
        (b'{"query": 3, "positive": "b"}', ":2: 'query' must be a non-empty text, not 3"),
        (b'["a", "b"]', ":2: not an object"),
        (b'{"query": "\xff", "positive": "b"}', ":2: not UTF-8"),
        (b'{"query": "\\ud800", "positive": "b"}', ":2: 'query' holds half a surrogate pair"),
        (
            b'{"query": "a", "positive": "b", "negatives": "c"}',
            ":2: 'negatives' must be a list of texts, not 'c'",
        ),
        (
            b'{"query": "a", "positive": "b", "negatives": {"c": 1}}',
            ":2: 'negatives' must be a list of texts",
        ),
        (b'{"query": "a", "positive": "b", "negatives": ["c", 3]}', ":2: text 2 of 'negatives' must be a"),
        (b'{"query": "a", "positive": "b", "negatives": [" "]}', ":2: text 1 of 'negatives' must be a"),
        (
            b'{"query": "a", "positive": "b", "negatives": ["\\udfff"]}',
            ":2: text 1 of 'negatives' holds half",
        ),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path, second_line, problem):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(LINES.encode().splitlines(keepends=True)[0] + second_line + b"\n")
    with pytest.raises(InputError) as raised:
        read_pairs(path)
    assert str(raised.value).startswith(f"{path}{problem}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.jsonl", b"\n", "holds no pairs"),
        ("missing.jsonl", None, "no such file"),
        ("missing.parquet", None, "no such file"),
        ("no.parquet", b"text", "cannot be read as parquet"),
        ("cut.jsonl.xz", lzma.compress(LINES.encode())[:-20], "cannot be read"),
        ("cut.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)[:-10], "cannot be read"),
        ("not.jsonl.gz", LINES.encode(), "cannot be read"),
        ("pairs.csv", b"a,b", "pairs are read from .jsonl"),
    ],
)
def test_an_unusable_file_is_named(tmp_path, name, content, problem):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem) as raised:
        read_pairs(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def collection() -> RetrievalData:
    return RetrievalData(
        corpus=[
            Document("1", "Cats", "They purr."),
            Document("2", "", "Dogs bark."),
            Document("3", "", "Birds."),
        ],
        queries={"q1": "What purrs?", "q2": "What barks?"},
        qrels={"q1": {"1": 2, "3": 0}, "q2": {"2": 1}},
        split="train",
        source="folder",
    )


def test_a_train_split_gives_a_pair_for_each_relevant_document_title_included():
    pairs = pairs_from_task("animals", collection())
    assert as_rows(pairs) == [("What purrs?", "Cats They purr."), ("What barks?", "Dogs bark.")]
    assert pairs.name == "animals"


def test_a_train_split_without_relevant_documents_is_refused():
    data = RetrievalData(corpus=[], queries={"q": "?"}, qrels={"q": {"1": 0}}, split="train", source="folder")
    with pytest.raises(InputError, match="animals: its 'train' split judges no document relevant"):
        pairs_from_task("animals", data)


def test_exclusion_drops_and_counts_test_queries_and_their_relevant_documents():
    pairs = as_pairs(
        ("what  PURRS?", "Anything."),  # a test query, white space and case aside
        ("sound", "cats they purr."),  # a relevant document with its title
        ("sound", "They  purr."),  # and without
        ("sound", "Birds."),  # judged, but not relevant
        ("sound", "Cows moo."),
    )
    kept, counts = exclude(pairs, [collection()])
    assert as_rows(kept) == [("sound", "Birds."), ("sound", "Cows moo.")]
    assert counts == {"test_query": 1, "test_document": 2}


def test_held_out_passages_are_in_no_training_pair():
    pairs = as_pairs(*((f"question {i}", f"Passage {i % 7}" + " " * (i % 2)) for i in range(40)))
    train, dev = hold_out(pairs, 10, seed=3)
    assert len(train) + len(dev) == 40
    assert 10 <= len(dev) <= 15
    assert not {p.strip() for p in train.positives} & {p.strip() for p in dev.positives}
    assert as_rows(hold_out(pairs, 10, seed=3)[1]) == as_rows(dev)
    assert as_rows(hold_out(pairs, 10, seed=4)[1]) != as_rows(dev)


def test_more_dev_pairs_than_there_are_cannot_be_held_out():
    with pytest.raises(InputError, match="cannot hold 2 dev pairs out of 2"):
        hold_out(as_pairs(*TWO), 2, seed=0)


def test_weights_repeat_and_sample():
    pairs = as_pairs(*((str(i), f"p{i}") for i in range(10)))
    assert sorted(weighted(pairs, 2, 0).queries) == sorted([*pairs.queries] * 2)
    half = weighted(pairs, 0.5, 0)
    assert len(half) == len(set(half.queries)) == 5
    assert half.queries == weighted(pairs, 0.5, 0).queries != weighted(pairs, 0.5, 1).queries
    assert len(weighted(pairs, 1.3, 0)) == 13
    assert as_rows(weighted(pairs, 1, 0)) == as_rows(pairs)


@pytest.mark.parametrize("weight", [0, -1, 0.01, float("nan"), float("inf")])
def test_a_weight_that_leaves_nothing_is_refused(weight):
    with pytest.raises(InputError, match="p: weight"):
        weighted(as_pairs(*TWO), weight, 0)
