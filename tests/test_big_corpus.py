"""A corpus that is larger than memory is searched from disk, exactly, within a budget."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mixbench.retrievers.topk import search_chunks

PROCESS = Path(__file__).with_name("searching_process.py")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def make_corpus(folder: Path, *, documents: int, shards: int, dimension: int, queries: int) -> None:
    """Write shards of half-precision vectors, some of them copies of one another, and queries."""
    generator = np.random.default_rng(0)
    np.save(folder / "queries.npy", generator.standard_normal((queries, dimension), dtype=np.float32))
    copied = generator.random((7, dimension), dtype=np.float32) - 0.5
    for number in range(shards):
        rows = generator.random((documents // shards, dimension), dtype=np.float32) - 0.5
        rows[number :: len(rows) // 7] = copied[0]
        rows[number + 1 :: len(rows) // 5] = copied[number % 7]
        np.save(folder / f"shard-{number:04}.npy", rows.astype(np.float16))


def searched(folder: Path, *, limit: int = 0, memory: int, k: int) -> dict[str, Any]:
    command = [sys.executable, str(PROCESS), str(folder), str(limit), str(memory), str(k)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def exact(folder: Path, rows: list[int], k: int) -> tuple[Tensor, Tensor]:
    """The search of topk, which scores every document in float64."""
    queries = torch.from_numpy(np.load(folder / "queries.npy"))[rows]

    def chunks() -> Iterator[tuple[int, Tensor]]:
        start = 0
        for path in sorted(folder.glob("shard-*.npy")):
            shard = np.load(path)
            for at in range(0, len(shard), 20_000):
                yield start + at, torch.from_numpy(shard[at : at + 20_000]).float()
            start += len(shard)

    return search_chunks(queries, chunks(), k)


def check(folder: Path, found: dict[str, Any], rows: list[int], k: int) -> None:
    scores, positions = exact(folder, rows, k)
    assert [found["positions"][row] for row in rows] == positions.tolist()
    assert [found["scores"][row] for row in rows] == scores.tolist()


def test_a_corpus_on_disk_is_searched_in_less_memory_than_it_takes(tmp_path: Path) -> None:
    make_corpus(tmp_path, documents=400_000, shards=8, dimension=256, queries=20)
    found = searched(tmp_path, memory=2**27, k=100)
    assert found["peak"] - found["before"] < 2**27 < 400_000 * 256 * 2
    check(tmp_path, found, list(range(20)), 100)


@pytest.mark.slow
def test_ten_million_vectors_are_searched_in_two_gibibytes(tmp_path: Path) -> None:
    documents, dimension = 10_000_000, 384
    if shutil.disk_usage(tmp_path).free < 2.5 * documents * dimension:
        pytest.skip("less than 10 GB are free on the disk of temporary files")
    try:
        make_corpus(tmp_path, documents=documents, shards=200, dimension=dimension, queries=100)
        found = searched(tmp_path, limit=2**31, memory=2**30, k=100)
        print(f"most private memory {found['peak']:,} bytes, {found['before']:,} before the search")
        assert found["peak"] < 2**31
        check(tmp_path, found, [0, 33, 66, 99], 100)
    finally:
        shutil.rmtree(tmp_path)
