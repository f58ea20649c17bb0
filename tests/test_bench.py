"""Benches: contenders take turns, the report says what was measured, and our BM25 is the faster one."""

import io
import json

import pytest
from rich.console import Console

from mixbench.errors import InputError
from mixbench.experiments.bench import BenchReport, BenchRow, alternate, report_table
from mixbench.experiments.bench_bm25 import QUERY_LENGTHS, bench_bm25, synthetic_texts


def report(*medians: float) -> BenchReport:
    rows = [BenchRow.of(f"system {i}", "plain", [value]) for i, value in enumerate(medians)]
    return BenchReport(title="Race", settings={"k": 7}, rows=rows, notes=["all equal"], provenance={})


def test_contenders_take_turns_and_the_warm_up_is_not_timed() -> None:
    calls: list[tuple[str, int]] = []
    seconds = alternate(
        [lambda work: calls.append(("a", work)), lambda work: calls.append(("b", work))], [1, 2], warmup=1
    )
    assert calls == [("a", 1), ("b", 1), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert [len(times) for times in seconds] == [2, 2]
    assert all(second >= 0 for times in seconds for second in times)


def test_a_row_holds_the_median_and_the_extremes() -> None:
    row = BenchRow.of("ours", "k1 0.9", [3.0, 1.0, 2.0, 9.0])
    assert (row.median, row.minimum, row.maximum) == (2.5, 1.0, 9.0)


def test_the_ratio_is_the_peers_median_over_ours() -> None:
    assert report(0.5, 100.0, 2.0).ratio == 200.0
    assert report(0.5).ratio is None


def test_a_report_is_json_and_a_table() -> None:
    assert json.loads(report(0.5, 100.0).to_json())["ratio"] == 200.0
    console = Console(file=io.StringIO(), width=120)
    console.print(report_table(report(0.5, 100.0)))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(words in shown for words in ("Race", "system 1", "100000.000", "200.0", "k 7", "all equal"))


def test_synthetic_texts_depend_on_the_seed_alone() -> None:
    assert synthetic_texts(20, 5, 1) == synthetic_texts(20, 5, 1) != synthetic_texts(20, 5, 2)
    texts, queries = synthetic_texts(2000, 200, 0)
    assert sum(map(len, texts)) / 2000 == pytest.approx(145, rel=0.05)
    assert {len(query) for query in queries} == set(range(QUERY_LENGTHS[0], QUERY_LENGTHS[1] + 1))


def test_bench_bm25_compares_every_score_and_names_what_was_timed() -> None:
    measured = bench_bm25(300, 4, k=10)
    assert measured.notes[0] == "scores equal to rank-bm25's bit for bit: 4 of 4 queries"
    assert [row.name.split()[0] for row in measured.rows][:2] == ["mixbench", "rank-bm25"]
    assert measured.settings["documents"] == 300
    assert measured.settings["k"] == 10
    assert measured.settings["threads"] == 1
    assert measured.ratio is not None
    assert json.loads(measured.to_json())["provenance"]["command"] == "bench bm25"


def test_bench_bm25_says_that_bm25s_was_left_out_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixbench.experiments.bench_bm25.find_spec", lambda name: None)
    measured = bench_bm25(50, 2, k=5)
    assert len(measured.rows) == 2
    assert measured.notes[-1] == "bm25s is not installed and was left out"


def test_a_bench_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="queries is 0; give at least 1"):
        bench_bm25(10, 0)
