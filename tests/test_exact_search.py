"""The search over shards finds what scores in float64 of all documents find, however close they are."""

import math
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mixbench.retrievers.exact_search import search_shards
from mixbench.retrievers.shards import Extent, Shard, extent_of
from mixbench.retrievers.topk import search_chunks

D = 24


def near_ties(count: int) -> Tensor:
    """Unit vectors in groups whose members differ by a bit or two of one coordinate."""
    rows = torch.nn.functional.normalize(torch.randn(count // 8 + 1, D), dim=1).repeat_interleave(8, dim=0)
    rows = rows[torch.randperm(len(rows))[:count]]
    at = torch.randint(0, D, (count, 1))
    moved = rows.gather(1, at) * (1 + torch.randint(-2, 3, (count, 1)) * 2**-23)
    return rows.scatter(1, at, moved)


KINDS: dict[str, Callable[[int], Tensor]] = {
    "random directions": lambda count: torch.nn.functional.normalize(torch.randn(count, D), dim=1),
    "few whole numbers, so ties": lambda count: torch.randint(-1, 2, (count, D)).float(),
    "copies of three": lambda count: torch.randn(3, D)[torch.randint(0, 3, (count,))],
    "all the same": lambda count: torch.randn(1, D).expand(count, D).contiguous(),
    "near ties": near_ties,
    "lengths from tiny to huge": lambda count: torch.randn(count, D) * 10 ** (12 * torch.rand(count, 1) - 6),
    "nothing but rounding": lambda count: 1 + torch.randint(-1, 2, (count, D)) * 2.0**-23,
    "zeros among small numbers": lambda count: (
        torch.randn(count, D) * torch.randint(0, 2, (count, 1)) * 1e-30
    ),
}


def exact_best(queries: Tensor, corpus: Tensor, k: int) -> list[list[tuple[float, int]]]:
    """By the definition: the true sum rounded once to float32, then the lowest position."""
    best = []
    for query in queries.double().tolist():
        scores = [
            float(np.float32(math.fsum(a * b for a, b in zip(query, row, strict=True))))
            for row in corpus.double().tolist()
        ]
        order = sorted(range(len(scores)), key=lambda position: (-scores[position], position))
        best.append([(scores[position], position) for position in order[:k]])
    return best


def pairs(found: tuple[Tensor, Tensor]) -> list[list[tuple[float, int]]]:
    scores, positions = found
    return [
        list(zip(row, at, strict=True)) for row, at in zip(scores.tolist(), positions.tolist(), strict=True)
    ]


def cut(corpus: Tensor, generator: random.Random) -> list[Tensor]:
    places = sorted(generator.choices(range(len(corpus) + 1), k=generator.randint(0, 4)))
    return list(corpus.tensor_split(places))


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Sequence[int]:
    """So many threads of torch meanwhile."""
    before, interval = torch.get_num_threads(), sys.getswitchinterval()
    torch.set_num_threads(request.param)
    sys.setswitchinterval(1e-5)  # so that threads meet within what they share
    yield request.param
    sys.setswitchinterval(interval)
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


@pytest.fixture(params=["float32", "bfloat16"])
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Choose candidates by products in this precision, where they do not leave too many."""
    coarse = request.param == "bfloat16"
    monkeypatch.setattr("mixbench.retrievers.exact_search.multiplies_bfloat16", lambda: coarse)
    monkeypatch.setattr("mixbench.retrievers.exact_search.COARSE_QUERIES", 1)
    monkeypatch.setattr("mixbench.retrievers.exact_search.COARSE_DOCUMENTS", 0)
    return request.param


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_the_best_are_those_of_exact_scores_of_all(
    kind: str, seed: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = random.Random(seed)
    torch.manual_seed(seed)
    count = generator.choice([1, 60, 400])
    corpus = KINDS[kind](count)
    queries = torch.cat([torch.randn(4, D), corpus[:2], torch.zeros(1, D)])
    k = generator.choice([1, 3, 10, 59, 500])
    # So little at a time that shortlists are pruned, and settled by exact scores, again and again.
    for module, name, value in (
        ("exact_search", "CELLS", generator.choice([7, 200, 5_000])),
        ("exact_search", "QUERIES", generator.choice([2, 100])),
        ("exact_search", "DOUBLES", generator.choice([1, 99])),
        ("shortlist", "FEWEST", 1),
    ):
        monkeypatch.setattr(f"mixbench.retrievers.{module}.{name}", value)
    expected = exact_best(queries, corpus, k)
    assert pairs(search_shards(queries, cut(corpus, generator), k)) == expected
    assert pairs(search_shards(queries, [corpus], k, extent=extent_of([corpus]))) == expected


@pytest.mark.parametrize("k", [10, 1_000])
def test_in_many_dimensions_it_finds_what_scoring_all_in_float64_finds(
    k: int, products: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    queries, corpus = torch.randn(40, 384), torch.randn(20_000, 384)
    corpus[torch.randperm(20_000)[:5_000]] = corpus[:5_000].clone()
    chosen_by = set()
    mm = torch.mm
    monkeypatch.setattr("torch.mm", lambda a, b, out: (chosen_by.add(a.dtype), mm(a, b, out=out)))
    found = search_shards(queries, [corpus[:12_345], corpus[12_345:]], k)
    expected = search_chunks(queries, [(0, corpus)], k)
    assert all(torch.equal(got, wanted) for got, wanted in zip(found, expected, strict=True))
    assert chosen_by == {getattr(torch, products)}


@pytest.mark.parametrize("products", ["bfloat16"], indirect=True)
def test_documents_too_close_for_bfloat16_are_told_apart_in_float32(
    products: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(7)
    queries, corpus = torch.randn(30, D), torch.randn(1, D) + 1e-4 * torch.randn(6_000, D)
    chosen_by: list[torch.dtype] = []
    mm = torch.mm
    monkeypatch.setattr("torch.mm", lambda a, b, out: (chosen_by.append(a.dtype), mm(a, b, out=out)))
    monkeypatch.setattr("mixbench.retrievers.exact_search.CELLS", 6_000)
    found = search_shards(queries, [corpus], 20)
    expected = search_chunks(queries, [(0, corpus)], 20)
    assert all(torch.equal(got, wanted) for got, wanted in zip(found, expected, strict=True))
    assert chosen_by[0] == torch.bfloat16
    assert chosen_by[-1] == torch.float32


@pytest.mark.usefixtures("products")
def test_a_query_that_would_be_infinite_in_bfloat16_is_searched_all_the_same() -> None:
    corpus = torch.tensor([[0.0, 3e-4], [1e-4, 0.0], [2e-4, -1e-4]])
    queries = torch.tensor([[3.4e38, 0.0], [0.0, 1.0]])
    found = search_shards(queries, [corpus], 3)
    assert found[1].tolist() == [[2, 1, 0], [0, 1, 2]]
    assert pairs(found) == pairs(search_chunks(queries, [(0, corpus)], 3))


@pytest.mark.usefixtures("products")
def test_what_rounding_takes_from_documents_may_be_what_makes_them_the_best() -> None:
    torch.manual_seed(5)
    half = torch.randn(300, 192).bfloat16().float()
    corpus = torch.cat([half, -half], dim=1)
    # Scores of .125 as bfloat16 has them, over scores of 0 there that are .6.
    corpus[100:, 0], corpus[100:, 192] = 1, -1 + 2**-3
    corpus[:100] += corpus[:100].abs() * 2**-9
    queries = torch.ones(1, 384)
    found = search_shards(queries, [corpus], 5)
    assert pairs(found) == pairs(search_chunks(queries, [(0, corpus)], 5))
    assert found[1].max() < 100


@pytest.mark.usefixtures("products")
def test_what_rounding_takes_from_a_query_may_be_what_makes_documents_the_best() -> None:
    torch.manual_seed(6)
    half = torch.randn(1, 192).bfloat16().float()
    half[0, 0] = 1
    queries = torch.cat([half, -half], dim=1)
    queries += queries.abs() * 2**-9
    signs = torch.randint(0, 2, (300, 192)) * 2.0 - 1
    signs[:5] = 1
    corpus = torch.cat([signs, signs], dim=1)
    corpus[5:, 0] += 2**-3
    found = search_shards(queries, [corpus], 5)
    assert pairs(found) == pairs(search_chunks(queries, [(0, corpus)], 5))
    assert found[1].tolist() == [[0, 1, 2, 3, 4]]


def test_lengths_whose_products_would_overflow_are_searched_all_the_same() -> None:
    corpus = torch.tensor([[-1.0, 0.0], [1e30, -1e30], [1e30, 1e30], [-2.0, 0.0]])
    queries = torch.tensor([[1e20, 1e20], [0.0, 1.0]])
    found = pairs(search_shards(queries, [corpus], 2))
    assert found == pairs(search_shards(queries, [corpus], 2, extent=Extent(2e30, 1e28)))
    assert found == [[(math.inf, 2), (0.0, 1)], [(float(np.float32(1e30)), 2), (0.0, 0)]]


def test_reduced_precision_of_products_changes_nothing() -> None:
    torch.manual_seed(4)
    queries, corpus = torch.randn(64, 384), torch.randn(4_000, 384)
    expected = pairs(search_shards(queries, [corpus], 20))
    torch.set_float32_matmul_precision("medium")
    try:
        assert pairs(search_shards(queries, [corpus], 20)) == expected
    finally:
        torch.set_float32_matmul_precision("highest")


def test_shards_may_be_mapped_from_files_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(5)
    queries, corpus = torch.randn(5, 16), torch.randn(90, 16).half()
    shards: list[Shard] = []
    for number, part in enumerate(corpus.split(40)):
        np.save(tmp_path / f"{number}.npy", part.numpy())
        shards.append(np.load(tmp_path / f"{number}.npy", mmap_mode="r"))
    assert pairs(search_shards(queries, shards, 7)) == exact_best(queries, corpus.float(), 7)


@pytest.mark.parametrize("memory", [0, 2**26, 2**40])
def test_a_budget_of_memory_changes_no_result(memory: int) -> None:
    torch.manual_seed(6)
    queries, corpus = torch.randn(300, 8), torch.randn(2_000, 8)
    found = search_shards(queries, [corpus], 100, memory=memory)
    expected = search_chunks(queries, [(0, corpus)], 100)
    assert all(torch.equal(got, wanted) for got, wanted in zip(found, expected, strict=True))
