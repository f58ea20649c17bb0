"""The store of embeddings: what is read again, what is not, and that reading changes nothing but the time."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command import Run, evaluate, refused
from sentence_transformers import SentenceTransformer
from test_bad_input import files_of_at_most
from test_dense import dense, word_model
from tiny_language import tiny_encoder, tiny_tokenizer
from torch import nn
from word_overlap import make_data, make_task

import mixbench
from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.evaluation import evaluate as measure
from mixbench.retrievers.dense import DenseRetriever
from mixbench.retrievers.encoding import SHARD_TEXTS, Encoding, encoding_code, shard_texts
from mixbench.retrievers.fusion import Fusion
from mixbench.retrievers.store import EmbeddingStore

WORDS = ("east", "far", "north", "west")
CORPUS = [
    Document(f"d{number:05}", "", f"{WORDS[number % 4]} {WORDS[number // SHARD_TEXTS]}")
    for number in range(2 * SHARD_TEXTS + 100)
]
SMALL = CORPUS[:3]


class Watch(nn.Module):
    """Lets embeddings through, remembers how many came at once, and has no memory for more than `room`."""

    def __init__(self, room: int = 2**31, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.room, self.error, self.batches = room, error, list[int]()

    def forward(self, features: dict[str, Any], **_: object) -> dict[str, Any]:
        texts = len(features["sentence_embedding"])
        if texts > self.room:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried\nto allocate too much")
        self.batches.append(texts)
        return features


def watched(watch: Watch, **settings: Any) -> SentenceTransformer:
    return SentenceTransformer(modules=[word_model()[0], watch], device="cpu", **settings)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def encoding(tmp_path: Path, said: list[str]) -> Encoding:
    """What keeps embeddings in an empty store."""
    return Encoding(store=EmbeddingStore(tmp_path / "store", say=said.append), say=said.append)


def shards(encoding: Encoding) -> list[Path]:
    """Return the files of a store, the largest first."""
    assert encoding.store is not None
    return [shard.path for shard in sorted(encoding.store.shards(), key=lambda shard: -shard.bytes)]


def encoded(encoding: Encoding, corpus: list[Document] = CORPUS, **settings: Any) -> int:
    """Index a corpus and return how many of its documents were computed."""
    watch = Watch()
    before = encoding.documents_read
    dense(watched(watch), encoding=encoding, **settings).index(corpus)
    assert sum(watch.batches) + encoding.documents_read - before == len(corpus)
    return sum(watch.batches)


# What is read


def test_a_corpus_is_encoded_once_and_then_read(encoding: Encoding, said: list[str]) -> None:
    assert encoded(encoding) == len(CORPUS)
    assert len(shards(encoding)) == 3
    assert encoded(encoding) == 0
    assert encoding.documents_read == len(CORPUS)
    assert said == []


@pytest.mark.parametrize(
    "settings",
    [{"precision": "int8"}, {"truncate_dim": 1}, {"similarity": "dot"}, {"query_prompt": "far "}],
    ids=lambda settings: next(iter(settings)),
)
def test_what_only_the_index_or_the_queries_need_reads_the_same(
    encoding: Encoding, settings: dict[str, Any]
) -> None:
    encoded(encoding, SMALL)
    assert encoded(encoding, SMALL, **settings) == 0


@pytest.mark.parametrize(
    "other",
    [
        {"document_prompt": "far "},
        {"batch_size": 8},
        {"weights": "nf4"},
        {"model_sha256": "1" * 64},
        {"corpus": [*SMALL[:2], Document("d00002", "", "lost")]},
        {"corpus": SMALL[:2]},
        {"model": word_model(truncate_dim=1)},
        {"model": word_model().to(torch.bfloat16)},
    ],
    ids=["prompt", "batch size", "weights", "model", "a text", "fewer texts", "dimensions", "data type"],
)
def test_what_decides_an_embedding_decides_whether_it_is_read(
    encoding: Encoding, other: dict[str, Any]
) -> None:
    usual = {"model": word_model(), "model_sha256": "0" * 64, "name": "tiny", "encoding": encoding}
    DenseRetriever(**usual).index(SMALL)
    corpus = other.get("corpus", SMALL)
    changed = {key: value for key, value in other.items() if key != "corpus"}
    DenseRetriever(**(usual | changed)).index(corpus)
    assert encoding.documents_read == 0
    DenseRetriever(**(usual | changed)).index(corpus)
    assert encoding.documents_read == len(corpus)


def test_the_maximum_length_decides_too(encoding: Encoding, tmp_path: Path) -> None:
    model = tiny_encoder(tiny_tokenizer(tmp_path))
    for length, read in ((None, 0), (8, 0), (8, 3), (16, 6)):  # 16 is the model's own
        dense(model, encoding=encoding, max_length=length).index(SMALL)
        assert encoding.documents_read == read


def test_embeddings_of_other_code_are_not_read(
    encoding: Encoding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mixbench"
    monkeypatch.setattr("mixbench.retrievers.encoding.PACKAGE", package)
    for room in ("models", "retrievers"):
        shutil.copytree(Path(mixbench.__file__).parent / room, package / room)
    counts = []
    rooms = ("retrievers/bm25.py", "retrievers/bm25.py", "models/mixer.py", "retrievers/dense.py")
    for changed in (*rooms, "retrievers/attention.py"):
        with (package / changed).open("a") as stream:
            stream.write("# changed\n")
        encoding_code.cache_clear()
        counts.append(encoded(encoding, SMALL))
    encoding_code.cache_clear()
    assert counts == [3, 0, 3, 3, 3]


def test_embeddings_are_read_with_their_bits_and_their_type(encoding: Encoding) -> None:
    assert encoding.store is not None
    kept = torch.randn(5, 3).to(torch.bfloat16)
    encoding.store.write("ab" * 32, "key", kept, "tiny")
    found = encoding.store.read("ab" * 32, "key")
    assert found is not None
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, kept)


def test_a_store_that_holds_some_of_the_shards_changes_no_bit(encoding: Encoding, tmp_path: Path) -> None:
    model = tiny_encoder(tiny_tokenizer(tmp_path))
    words = ["red", "wing", "a boat that is blue", "of all things and of houses"]
    corpus = [Document(f"d{number:05}", "", f"{words[number % 4]} {number}") for number in range(1_300)]

    def found(encoding: Encoding | None) -> object:
        retriever = dense(model, encoding=encoding)
        retriever.index(corpus)
        return retriever.search(["red wing", "a blue house"], 1_300)

    undisturbed = found(None)
    assert found(encoding) == undisturbed
    for shard in shards(encoding):
        shard.unlink()
        encoding.forget()
        assert found(encoding) == undisturbed
        assert encoding.documents_read in {1_024, 276}


def test_a_shard_has_more_texts_where_batches_are_large() -> None:
    assert [shard_texts(size) for size in (1, 32, 256)] == [1_024, 1_024, 8_192]


def test_without_a_store_nothing_is_written(tmp_path: Path) -> None:
    assert encoded(Encoding(), SMALL) == len(SMALL)
    assert encoded(Encoding(), SMALL) == len(SMALL)
    assert list(tmp_path.iterdir()) == []


# What is wrong with a store


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_type(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"'))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (flip, "fails its checksum"),
        (other_type, "fails its checksum"),
        (cut, "no shard can be read here ("),
        (empty, "no shard can be read here ("),
    ],
)
def test_a_damaged_shard_is_encoded_again_which_is_said(
    encoding: Encoding, said: list[str], spoil: Callable[[Path], None], problem: str
) -> None:
    encoded(encoding)
    damaged = shards(encoding)[0]
    spoil(damaged)
    assert encoded(encoding) == SHARD_TEXTS
    (line,) = said
    assert line.startswith(f"{damaged}: {problem}")
    assert line.endswith("; its texts are encoded again")
    assert encoded(encoding) == 0


def test_a_shard_under_the_name_of_another_is_damaged(encoding: Encoding, said: list[str]) -> None:
    encoded(encoding)
    first, second, _ = shards(encoding)
    second.write_bytes(first.read_bytes())
    assert encoded(encoding) == SHARD_TEXTS
    assert [line.split(": ")[1] for line in said] == ["fails its checksum; its texts are encoded again"]


def test_a_disk_without_room_costs_the_store_and_not_the_evaluation(
    encoding: Encoding, said: list[str]
) -> None:
    with files_of_at_most(1_000):
        assert encoded(encoding) == len(CORPUS)
    (line,) = said
    assert line.startswith(f"{encoding.store.folder}: no more embeddings are kept (")
    assert "no space left" in line
    assert shards(encoding) == []


def test_a_place_that_may_not_be_written_costs_the_store_and_not_the_evaluation(
    encoding: Encoding, said: list[str]
) -> None:
    assert encoding.store is not None
    encoding.store.folder.mkdir()
    (encoding.store.folder / ("0" * 16)).touch()  # where the model's folder should be
    assert encoded(encoding, SMALL) == len(SMALL)
    assert said[-1].startswith(f"{encoding.store.folder}: no more embeddings are kept (")
    assert "cannot be written: a file stands where a folder should" in said[-1]


def test_embeddings_that_cannot_be_ranked_are_not_kept(encoding: Encoding) -> None:
    model = word_model({"[UNK]": [0, 0], "east": [float("nan"), 0]})
    with pytest.raises(MixbenchError, match="NaN"):
        dense(model, encoding=encoding).index([Document("a", "", "east")])
    assert shards(encoding) == []


def test_a_file_in_the_place_of_a_store_and_a_limit_below_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="/file: is no folder; give another place for the store"):
        EmbeddingStore(tmp_path / "file")
    with pytest.raises(InputError, match="limit is -1; give at least 0"):
        EmbeddingStore(tmp_path, limit=-1)


# Its size


def test_past_the_limit_the_longest_unused_shards_go(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, limit=1_500)
    rows = torch.zeros(100, 1)  # 400 bytes beside a header of some 200
    for key in ("a", "b"):
        store.write("00", key, rows, "tiny")
    for age, key in enumerate(("b", "a")):
        os.utime(tmp_path / "00" / f"{key}.safetensors", (1_000 - age, 1_000 - age))
    assert store.read("00", "a") is not None  # which was the longest unused
    store.write("00", "c", rows, "tiny")
    assert [shard.path.stem for shard in store.shards()] == ["a", "c"]


def test_pruning_drops_what_a_killed_process_left_but_not_what_another_is_writing(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    store.write("00", "a", torch.zeros(2, 2), "tiny")
    left, writing = (tmp_path / "00" / f".b.safetensors.{each}" for each in ("left", "writing"))
    left.write_bytes(b"half")
    writing.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert store.prune(10_000) == []
    assert (left.exists(), writing.exists()) == (False, True)
    assert [shard.path.stem for shard in store.prune(0)] == ["a"]


# Memory


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_where_memory_runs_out_batches_are_halved_and_the_result_says_so(
    encoding: Encoding, said: list[str], error: type[Exception]
) -> None:
    corpus = [Document(f"d{number}", "", WORDS[number % 4]) for number in range(100)]
    data, watch = make_data(corpus), Watch(room=11, error=error)
    retriever = dense(watched(watch), encoding=encoding)
    result = measure(retriever, make_task(), [data], command="").result
    assert (result.costs.halved_batch, max(watch.batches)) == (8, 8)
    assert [line.split("; ")[1] for line in said] == [
        "goes on with 16 texts in a batch",
        "goes on with 8 texts in a batch",
    ]
    again = measure(dense(watched(Watch())), make_task(), [data], command="").result
    assert again.costs.halved_batch is None
    assert again.scores == result.scores
    # What is left of memory is known: the next task begins with it, and says so too.
    assert measure(retriever, make_task(), [data], command="").result.costs.halved_batch == 8
    assert len(said) == 2


def test_without_memory_for_one_text_the_error_is_one_line() -> None:
    with pytest.raises(MixbenchError) as refused:
        dense(watched(Watch(room=0))).index(SMALL)
    assert str(refused.value).startswith("model 'tiny': no memory is left for one text at a time (Default")
    assert str(refused.value).endswith("take a lower --max-length, a smaller model or another --device")
    assert "\n" not in str(refused.value)


def test_an_error_that_is_none_of_memory_is_not_tried_again() -> None:
    class Broken(nn.Module):
        def forward(self, features: dict[str, Any], **_: object) -> dict[str, Any]:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        dense(watched(Broken())).index(SMALL)


# Costs


def test_a_speed_is_never_that_of_reading(encoding: Encoding) -> None:
    retriever = dense(word_model(), encoding=encoding)
    computed = measure(retriever, make_task(), [make_data()], command="").result.costs
    for _ in range(2):  # each counts for itself
        read = measure(retriever, make_task(), [make_data()], command="").result.costs
    fields = ("index_seconds", "documents_per_second", "peak_memory_bytes")
    assert all(getattr(computed, name) > 0 for name in fields)
    assert [getattr(read, name) for name in fields] == [None] * 3
    assert (computed.documents_from_store, read.documents_from_store) == (0, 4)
    assert read.queries_per_second > 0  # queries are computed always
    assert read.flops_per_document == computed.flops_per_document


def test_what_a_member_of_a_fusion_read_is_known_too(encoding: Encoding) -> None:
    dense(word_model(), encoding=encoding).index(make_data().corpus)
    other = DenseRetriever(word_model(), name="other", model_sha256="1" * 64, encoding=encoding)
    fusion = Fusion([dense(word_model(), encoding=encoding), other], method="rrf")
    costs = measure(fusion, make_task(), [make_data()], command="", encoding=encoding).result.costs
    assert (costs.documents_from_store, costs.documents_per_second) == (4, None)


# The command line


@pytest.fixture
def model(run: Run, tmp_path: Path) -> str:
    tiny_encoder(tiny_tokenizer(tmp_path)).save_pretrained(str(tmp_path / "words"), create_model_card=False)
    return "../words"


def costs_of(run: Run, *arguments: object) -> dict[str, Any]:
    ended = evaluate(run, *arguments, "--json")
    assert ended.status == 0, ended.err
    return json.loads(ended.out)[0]["costs"]


def test_eval_reads_what_another_evaluation_kept(run: Run, model: str) -> None:
    assert costs_of(run, "-m", model, "-t", "zoo")["documents_from_store"] == 0
    ended = evaluate(run, "-m", model, "-t", "zoo", "--precision", "int8")
    assert "done words on zoo/tiny, 3 documents from the store" in ended.err
    assert "stored" in ended.out
    assert costs_of(run, "-m", model, "-t", "zoo", "--truncate-dim", 8)["documents_from_store"] == 3
    assert costs_of(run, "-m", f"rrf:bm25,{model}", "-t", "zoo")["documents_per_second"] is None


def test_a_command_that_a_result_names_has_nothing_of_the_store(run: Run, model: str) -> None:
    evaluate(run, "-m", model, "-t", "zoo", "--store", "here")
    (path,) = Path("out").rglob("tiny.json")
    command = json.loads(path.read_text())["provenance"]["command"]
    assert command == "mixbench eval -m ../words -t zoo/tiny --data-dir DATA"


def test_no_store_computes_all_and_keeps_nothing(run: Run, model: str) -> None:
    evaluate(run, "-m", model, "-t", "zoo", "--no-store")
    assert not Path(os.environ["MIXBENCH_STORE"]).exists()
    ended = evaluate(run, "-m", model, "-t", "zoo", "--no-store", "--store", "here")
    assert ended.status == 2
    assert "exclude each other" in ended.err


def test_a_speed_is_replaced_only_by_one_that_is_measured_again(run: Run, model: str) -> None:
    measured = costs_of(run, "-m", model, "-t", "zoo")
    again = costs_of(run, "-m", model, "-t", "zoo", "--overwrite")
    assert again["documents_from_store"] == 0
    assert again["documents_per_second"] not in (None, measured["documents_per_second"])
    # A result without one is replaced by what is at hand.
    for path in Path("out").rglob("tiny*"):
        path.unlink()
    assert costs_of(run, "-m", model, "-t", "zoo")["documents_per_second"] is None
    assert costs_of(run, "-m", model, "-t", "zoo", "--overwrite")["documents_from_store"] == 3


def test_a_board_shows_no_speed_of_what_was_read(run: Run, model: str, tmp_path: Path) -> None:
    evaluate(run, "-m", model, "-t", "zoo", "--output", "elsewhere")
    evaluate(run, "-m", model, "-t", "zoo")
    files = ("--json", "board.json", "--csv", "board.csv", "--html", "board.html")
    ended = run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks", "--allow-dirty", *files)
    assert ended.status == 0, ended.err
    (row,) = [
        line.split(" | ")
        for line in Path("out/zoo/README.md").read_text().split("## Costs")[1].splitlines()
        if line.startswith("| `words`")
    ]
    assert [row[4], row[8]] == ["–", "–"]
    (shown,) = json.loads(Path("board.json").read_text())["rows"]
    assert [shown["costs"][key] for key in ("documents_per_second", "peak_memory_bytes")] == [None, None]


def test_the_store_is_shown_checked_and_pruned(run: Run, model: str, tmp_path: Path) -> None:
    place = ("--store", "here")
    evaluate(run, "-m", model, "-t", "zoo", *place)
    (shard,) = Path("here").glob("*/*.safetensors")
    rows = json.loads(run("store", "info", *place, "--json").out)
    assert [(row["model"], row["shards"]) for row in rows] == [("words", 1), ("all", 1)]
    assert rows[0]["mb"] == round(shard.stat().st_size / 1e6, 3)
    assert run("store", "verify", *place).out == "here: all 1 shards are whole\n"
    flip(shard)
    ended = run("store", "verify", *place)
    assert (ended.status, ended.out.split(": ")[:1]) == (3, [str(shard)])
    assert "fails its checksum; dropped" in ended.out
    assert not shard.exists()
    evaluate(run, "-m", model, "-t", "zoo", *place, "--overwrite")
    assert run("store", "prune", *place).out.startswith("here: dropped 0 shards of 0.0 MB, kept 1 of ")
    assert run("store", "prune", *place, "--store-limit", 0).out.startswith("here: dropped 1 shards of ")
    assert [row["shards"] for row in json.loads(run("store", "info", *place, "--json").out)] == [0]


def test_a_file_in_the_place_of_the_store_is_named_before_any_work(run: Run) -> None:
    Path("here").touch()
    refused(evaluate(run, "-m", "bm25", "-t", "zoo", "--store", "here"), "here: is no folder; give another")


def test_a_limit_that_is_no_number_is_named_before_any_work(run: Run) -> None:
    ended = evaluate(run, "-m", "bm25", "-t", "zoo", "--store-limit", "inf")
    refused(ended, "store limit inf: give a number of GiB, 0 or more")
