"""A budget of memory changes where embeddings and texts are, and nothing that comes of them."""

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import pytest
import torch
from command import TASK, Run, evaluate, refused
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from test_bad_input import files_of_at_most
from tiny_data import make_folder
from tokenizers import Tokenizer, models, pre_tokenizers

from mixbench.data import Document, in_order
from mixbench.data.beir import read_beir_folder
from mixbench.data.corpus_file import CorpusFile
from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.storing import memory_bytes, open_encoding
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.retrievers import Ranking
from mixbench.retrievers.embeddings import EmbeddingIndex

PROCESS = Path(__file__).with_name("evaluating_process.py")
WORDS = 500
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
FULL = rf"^{re.escape(gettempdir())}: cannot be written: no space left under the limit .*free some space"


def make_place(folder: Path, *, documents: int, dimension: int, queries: int, words: int) -> None:
    """Write a model of static embeddings, and a task whose corpus is random words, some documents twice."""
    names = [f"w{number}" for number in range(WORDS)]
    tokenizer = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = np.random.default_rng(0).standard_normal((WORDS, dimension), dtype=np.float32)
    module = StaticEmbedding(tokenizer, embedding_weights=weights)
    SentenceTransformer(modules=[module], device="cpu").save(str(folder / "model"))
    (folder / "tasks" / "zoo").mkdir(parents=True)
    (folder / "tasks" / "zoo" / "big.toml").write_text(TASK.replace('"tiny"', '"big"'))
    data, chosen, text = folder / "data" / "big", random.Random(0), ""
    (data / "qrels").mkdir(parents=True)
    with (data / "corpus.jsonl").open("w") as stream:
        for number in range(documents):
            text = " ".join(chosen.choices(names, k=words)) if number % 5 else text
            stream.write(json.dumps({"_id": f"d{number}", "title": "w1", "text": text}) + "\n")
    asked = [{"_id": f"q{at}", "text": " ".join(chosen.choices(names, k=5))} for at in range(queries)]
    (data / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in asked))
    judged = [f"q{at}\td{chosen.randrange(documents)}\t1\n" for at in range(queries)]
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judged))


def evaluated(folder: Path, memory: str, growth: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROCESS), str(folder), memory, str(growth)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def told(folder: Path, memory: str = "", growth: int = 0) -> dict[str, Any]:
    done = evaluated(folder, memory, growth)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def check(folder: Path, memory: str, growth: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate with a budget and without; return what each took."""
    within, free = told(folder, memory, growth), told(folder)
    same = ("scores", "rankings", "queries", "data", "index")
    assert {key: within[key] for key in same} == {key: free[key] for key in same}
    assert within["peak"] - within["before"] < memory_bytes(memory) < within["index"]
    print({key: (within[key], free[key]) for key in ("corpus", "before", "peak", "index")})
    return within, free


# Memory


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_embeddings_that_the_budget_does_not_hold_are_evaluated_within_it(tmp_path: Path) -> None:
    make_place(tmp_path, documents=20_000, dimension=2_048, queries=20, words=10)
    check(tmp_path, "128MiB", 2**27)
    assert evaluated(tmp_path, "", 2**27).returncode != 0  # so the limit is one


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_corpus_of_gigabytes_is_evaluated_within_half_a_gibibyte(tmp_path: Path) -> None:
    documents, dimension = 150_000, 2_048
    if shutil.disk_usage(tmp_path).free < 2 * 4 * documents * dimension:
        pytest.skip("less than 2.5 GB are free on the disk of temporary files")
    try:
        make_place(tmp_path, documents=documents, dimension=dimension, queries=100, words=150)
        within, free = check(tmp_path, "512MiB", 2**29)
        assert within["corpus"] / documents < 200 < 900 < free["corpus"] / documents
    finally:
        shutil.rmtree(tmp_path)


# Rankings


def rankings(
    similarity: str, precision: str, truncate_dim: int | None, memory: int | None, device: str = "cpu"
) -> list[Ranking]:
    """Those of an index of 400 documents, many of them with the same embedding, read in uneven parts."""
    generator = torch.Generator().manual_seed(0)
    distinct = torch.randn(60, 24, generator=generator)
    rows = distinct[torch.randint(0, 60, (400,), generator=generator)]
    corpus = [Document(f"d{number}", "", str(number)) for number in range(400)]
    made = EmbeddingIndex(
        "tiny", similarity, 150, truncate_dim=truncate_dim, precision=precision, memory=memory
    )
    made.fill(corpus, lambda some: rows[[int(each.text) for each in some]], at_once=64)
    assert made.nbytes in (400 * 24 * 4, 400 * 24 + 2 * 24 * 4, 400 * 3, 400 * 13 * 4, 400 * 13 + 104, 800)
    return made.search(["a"] * 7, 90, lambda texts: torch.randn(7, 24, generator=generator).to(device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("truncate_dim", [None, 13])
@pytest.mark.parametrize("precision", ["float32", "int8", "binary"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_budget_changes_no_bit_of_a_score_and_no_rank(
    similarity: str, precision: str, truncate_dim: int | None, device: str
) -> None:
    free = rankings(similarity, precision, truncate_dim, None, device)
    assert rankings(similarity, precision, truncate_dim, 2**27, device) == free
    assert [len(ranking) for ranking in free] == [90] * 7


def test_a_model_that_mteb_runs_is_held_within_a_budget_too() -> None:
    corpus = CorpusFile([Document(name, "", f"text {name}") for name in map(str, range(200))])
    found = []
    for memory in (None, "128MiB"):
        encoding = open_encoding(None, 0, stored=False, memory=memory)
        made = open_system("mteb/baseline-random-encoder", EncoderOptions(encoding=encoding))
        made.index(corpus)
        found.append(made.search(["text 7"], 90)[0])
    assert found[0] == found[1]
    assert found[0][0][0] == "7"
    with files_of_at_most(12_000), pytest.raises(MixbenchError, match=FULL):
        made.index(corpus)


@pytest.mark.parametrize(
    "options",
    [
        ["--no-store"],
        ["--store", "kept", "--similarity", "dot"],
        ["--no-store", "--truncate-dim", "100", "--precision", "int8"],
        ["--no-store", "--precision", "binary"],
    ],
    ids=lambda options: options[-1],
)
def test_files_of_an_evaluation_are_the_same_within_a_budget(run: Run, options: list[str]) -> None:
    models = ("-m", "bm25", "-m", "mixer-tiny", "-m", "rrf:bm25,mixer-tiny", "--rerank", "maxsim:tiny")
    written = []
    for memory in ([], ["--memory", "128MiB"]):
        assert evaluate(run, *models, "-t", "tiny", *options, *memory).status == 0
        written.append({path: path.read_bytes() for path in Path("out").rglob("*.*") if path.is_file()})
        shutil.rmtree("out")
    free, within = written
    assert free.keys() == within.keys()
    changing = {"costs", "provenance"}
    for path, content in free.items():
        if path.suffix == ".json" and path.name == "tiny.json":
            results = [json.loads(each) for each in (content, within[path])]
            assert results[0]["costs"]["index_bytes"] == results[1]["costs"]["index_bytes"]
            first, second = ({key: each[key] for key in each.keys() - changing} for each in results)
            assert first == second
        else:
            assert within[path] == content


def test_a_search_finds_the_same_within_a_budget(run: Run) -> None:
    places = ("-t", "tiny", "--tasks-dir", "../tasks", "--data-dir", "../data", "--json")
    free = run("search", "mixer-tiny", "q1", *places).out
    assert run("search", "mixer-tiny", "q1", *places, "--memory", "1GiB").out == free
    assert len(json.loads(free)["hits"]) == 3


@pytest.mark.parametrize("precision", ["float32", "int8", "binary"])
def test_a_disk_without_room_for_embeddings_is_told_in_a_line(precision: str) -> None:
    with files_of_at_most(100), pytest.raises(MixbenchError, match=FULL):
        rankings("dot", precision, None, 2**27)


# Texts


def test_a_disk_without_room_for_texts_is_told_in_a_line() -> None:
    with files_of_at_most(100), pytest.raises(MixbenchError, match=FULL):
        CorpusFile([Document("a", "", 101 * "x")])


def test_a_corpus_on_disk_has_the_documents_of_its_folder_in_the_same_order(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    held, read = (read_beir_folder(folder, "test", on_disk=on_disk) for on_disk in (False, True))
    assert list(read.corpus) == held.corpus
    assert read.corpus[-1] == held.corpus[2]
    assert read.sha256 == held.sha256
    (folder / "corpus.jsonl").write_text('{"_id": "a", "text": ""}\n{"_id": "b"}\n')
    with pytest.raises(InputError, match=r"corpus\.jsonl:2: no 'text'"):
        read_beir_folder(folder, "test", on_disk=True)


def test_parts_of_a_corpus_on_disk_stay_there_in_whatever_order() -> None:
    documents = [Document(doc_id, "", text) for doc_id, text in (("b", "1"), ("ß", ""), ("a", "2"))]
    corpus = CorpusFile(documents)
    down = in_order(corpus, reverse=True)
    assert [document.doc_id for document in down] == ["ß", "b", "a"]
    assert isinstance(down[:2], CorpusFile)
    assert list(down[1:]) == [documents[0], documents[2]]
    with pytest.raises(IndexError):
        corpus[3]


# Sizes


@pytest.mark.parametrize(
    ("size", "expected"),
    [("2GiB", 2 * 2**30), ("500MiB", 500 * 2**20), ("1.5GB", 1_500_000_000), ("1 TB", 10**12)],
)
def test_a_size_is_written_with_its_unit(size: str, expected: int) -> None:
    assert memory_bytes(size) == expected


@pytest.mark.parametrize("size", ["2", "2gigs", "2GiBs", "GiB", "-1GiB", "1e3MiB", "nanGiB", "2G", ""])
def test_what_is_no_size_is_refused_before_any_work(run: Run, size: str) -> None:
    ended = evaluate(run, "-t", "tiny", "-m", "bm25", f"--memory={size}")
    refused(ended, f"memory {size!r}: write a size as 2GiB, 500MiB or 1.5GB")


def test_a_budget_below_what_a_search_takes_is_refused(run: Run) -> None:
    refused(evaluate(run, "-t", "tiny", "--memory", "100MiB"), "'100MiB'", "a search needs at least 128MiB")


def test_a_budget_that_holds_no_shard_of_a_model_is_refused_before_it_is_encoded() -> None:
    made = EmbeddingIndex("wide", "dot", 50_000, memory=2**27)
    made.check_memory(1_024, 4_096)
    with pytest.raises(InputError, match=r"'wide': 32768 documents are encoded at once.*give 4,294,967,296"):
        made.check_memory(32_768, 4_096)
