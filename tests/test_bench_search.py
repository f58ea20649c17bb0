"""The bench of search: ours and its peers find the same documents among the same vectors."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command import Run, refused

from mixbench.errors import InputError
from mixbench.experiments.bench_search import SearchSettings, bench_search, unit_vectors
from mixbench.experiments.bench_search_faiss import INDEXES
from mixbench.interop.mteb.search import search_by_mteb

SMALL = SearchSettings(documents=300, dimension=8, queries=5, k=20, rounds=2)


def test_vectors_have_unit_length_and_depend_on_the_seed() -> None:
    vectors = unit_vectors(50, 8, seed=3)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(50))
    assert torch.equal(vectors, unit_vectors(50, 8, seed=3))
    assert not torch.equal(vectors, unit_vectors(50, 8, seed=4))


def test_mteb_finds_the_best_by_dot_product() -> None:
    documents = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    found = search_by_mteb(["a", "b", "c"], documents, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 2)
    assert [sorted(doc_id for _, doc_id in best) for best in found] == [["a", "c"], ["b", "c"]]


def test_ours_and_mteb_find_the_same_and_faiss_is_named_where_it_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "mixbench.experiments.bench_search.find_spec", lambda name: None if name == "faiss" else name
    )
    told = json.loads(bench_search(SMALL).to_json())
    assert [row["name"].split()[0] for row in told["rows"]] == ["mixbench", "mteb"]
    assert [row["recall"] for row in told["rows"]] == [1.0, 1.0]
    assert told["notes"] == ["faiss is not installed and was left out; pip install 'mixbench[faiss]'"]
    ours = told["rows"][0]
    assert len(ours["seconds"]["rounds"]) == 2
    assert ours["queries_per_second"]["rounds"] == [5 / seconds for seconds in ours["seconds"]["rounds"]]
    assert list(ours["against"]) == [told["rows"][1]["name"]]
    assert {"k": 20, "documents": 300, "dtype": "float32"}.items() <= told["settings"].items()


def test_indexes_of_faiss_are_compared_in_recall_with_exact_search() -> None:
    pytest.importorskip("faiss")
    told = json.loads(bench_search(replace(SMALL, documents=3_000, faiss=tuple(INDEXES))).to_json())
    rows = {row["name"].split()[-1]: row for row in told["rows"]}
    assert list(rows)[:5] == ["mixbench", "flat", "sq8", "hnsw", "ivfpq"]
    assert {name: rows[name]["settings"] for name in INDEXES} == {
        "flat": "Flat",
        "sq8": "SQ8",
        "hnsw": "HNSW32 efSearch=128",
        "ivfpq": "IVF46,PQ1 nprobe=32",
    }
    assert rows["flat"]["recall"] == 1.0
    assert rows["sq8"]["recall"] > 0.9
    assert rows["hnsw"]["recall"] > 0.9
    assert 0 < rows["ivfpq"]["recall"] < 1
    assert [note.split(":")[0] for note in told["notes"]] == [
        "faiss Flat",
        "faiss SQ8",
        "faiss HNSW32",
        "faiss IVF46,PQ1",
    ]
    assert "32 bytes a document" in told["notes"][0]


def test_the_verb_prints_a_table_and_refuses_what_cannot_be(run: Run) -> None:
    small = ("--documents", 50, "--dimension", 4, "--queries", 2, "--k", 3, "--rounds", 1, "--threads", 1)
    ended = run("bench", "search", *small, "-o", "search.json")
    assert ended.status == 0, ended.err
    assert "times mteb" in ended.out
    assert json.loads(Path("search.json").read_text())["settings"]["threads"] == 1
    refused(run("bench", "search", "--documents", 5, "--k", 6), "k is 6, of 5 documents")
    refused(run("bench", "search", "--faiss", "hsnw"), "unknown index of faiss 'hsnw'", "hnsw")
    with pytest.raises(InputError, match="rounds is 0; give at least 1"):
        SearchSettings(rounds=0)
