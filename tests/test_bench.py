"""Benches: contenders take turns, the report says what was measured, and our BM25 is the faster one."""

import io
import json

import pytest
from rich.console import Console

from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.experiments.bench import Spread, TimedWork, take_turns
from mixbench.experiments.bench_bm25 import BM25Settings, bench_bm25
from mixbench.experiments.bench_bm25_peers import engines
from mixbench.experiments.bench_report import BenchReport, BenchRow
from mixbench.experiments.synthetic_terms import QUERY_LENGTHS, synthetic_texts


def report(*, unit: str | None = "documents", against: tuple[str, ...] = ("theirs",)) -> BenchReport:
    ours = BenchRow(name="ours", settings="k1 0.9", seconds=[1.0, 2.0, 4.0], figures={"bytes": 1500})
    theirs = BenchRow(name="theirs", settings="plain", seconds=[4.0, 1.0, 2.0], figures={"bytes": None})
    return BenchReport(
        title="Race",
        unit=unit,
        per_round=8,
        settings={"k": 7},
        rows=[ours, theirs],
        against=against,
        columns={"kB": "{bytes:,.0f}"},
        notes=["all equal"],
        provenance={"machine": "a machine"},
    )


def shown(report: BenchReport) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(report.table())
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_contenders_take_turns_in_each_round() -> None:
    calls: list[str] = []
    told: list[str] = []
    contenders = [TimedWork(name, "", lambda name=name: calls.append(name)) for name in "ab"]  # type: ignore[misc]
    seconds = take_turns(contenders, 2, [], tell=told.append)
    assert calls == ["a", "b", "a", "b"]
    assert [len(times) for times in seconds] == [2, 2]
    assert all(second >= 0 for times in seconds for second in times)
    assert told[1] == f"round 1 of 2: b {seconds[1][0]:.2f} s"


def test_one_that_fails_is_left_out_whole_and_the_first_ends_the_bench() -> None:
    left = iter([1])
    notes: list[str] = []

    def once() -> None:
        if next(left, None) is None:
            raise RuntimeError("no memory\nleft")

    failing = TimedWork("failing", "", once)
    contenders = [TimedWork("fine", "", int), failing]
    assert [len(times) for times in take_turns(contenders, 2, notes)] == [2]
    assert notes == ["failing was left out: no memory left"]
    with pytest.raises(MixbenchError, match="failing, which the others are compared with, cannot run: no"):
        take_turns([failing], 1, notes)


def test_a_round_tells_the_memory_that_it_held() -> None:
    work = TimedWork("large", "", lambda: bytearray(2**26).count(1))
    take_turns([work], 1, [])
    assert work.memory_bytes >= 2**25
    assert work.device_bytes is None


def test_a_spread_holds_the_median_and_the_extremes() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 9.0]) == Spread(median=2.5, minimum=1.0, maximum=9.0)


def test_ratios_are_taken_within_a_round() -> None:
    ours, theirs = json.loads(report(against=("ours", "theirs")).to_json())["rows"]
    assert ours["documents_per_second"] == {
        "median": 4.0, "minimum": 2.0, "maximum": 8.0, "rounds": [8.0, 4.0, 2.0]
    }  # fmt: skip
    # The median of the rounds' ratios, not the ratio of medians, which is 1.
    assert ours["against"]["theirs"]["ratio"] == {
        "median": 0.5, "minimum": 0.5, "maximum": 4.0, "rounds": [4.0, 0.5, 0.5]
    }  # fmt: skip
    assert ours["against"]["theirs"]["seconds_more"]["rounds"] == [-3.0, 1.0, 2.0]
    assert theirs["against"]["theirs"]["ratio"]["rounds"] == [1.0, 1.0, 1.0]
    assert report().ratio("theirs", "theirs") == 1.0


def test_the_table_says_who_is_held_against_whom() -> None:
    words = (
        "Race",
        "documents/s",
        "times theirs",
        "0.500 to 4.000",
        "k 7",
        "all equal",
        "a machine",
        "1,500",
        "–",
    )
    assert [word for word in words if word not in shown(report())] == []
    assert "seconds beyond theirs" in shown(report(unit=None))
    assert "-3.000 to 2.000" in shown(report(unit=None))


def test_synthetic_texts_depend_on_the_seed_alone() -> None:
    assert synthetic_texts(20, 5, 1) == synthetic_texts(20, 5, 1) != synthetic_texts(20, 5, 2)
    texts, queries = synthetic_texts(2000, 200, 0)
    assert sum(map(len, texts)) / 2000 == pytest.approx(145, rel=0.05)
    assert {len(query) for query in queries} == set(range(QUERY_LENGTHS[0], QUERY_LENGTHS[1] + 1))


def test_bench_bm25_compares_every_score_and_names_what_was_timed() -> None:
    measured = bench_bm25(BM25Settings(documents=300, queries=4, k=10))
    assert measured.notes[0] == "scores equal to rank-bm25's bit for bit: 4 of 4 queries"
    assert [row.name.split()[0] for row in measured.rows][:2] == ["mixbench", "rank-bm25"]
    assert {"documents": 300, "k": 10, "threads": 1, "rounds": 4}.items() <= measured.settings.items()
    assert measured.against == [row.name for row in measured.rows[1:]]
    assert all(len(row.seconds) == 4 for row in measured.rows)


@pytest.mark.parametrize(("work", "unit", "done"), [("batch", "queries", 4), ("index", "documents", 50)])
def test_bench_bm25_times_batches_and_indexing_in_rounds(work: str, unit: str, done: int) -> None:
    measured = bench_bm25(BM25Settings(work=work, documents=50, queries=4, k=5, rounds=2, warm_up=1))
    told = json.loads(measured.to_json())
    assert (measured.unit, measured.per_round) == (unit, done)
    assert all(len(row["seconds"]["rounds"]) == 2 for row in told["rows"])
    assert any(row["name"].startswith("bm25s") and row["name"].endswith("numpy") for row in told["rows"])


def test_engines_find_as_many_as_are_asked_for() -> None:
    texts, queries = synthetic_texts(40, 3, 0)
    for engine in engines([]):
        found = engine.search(engine.index(texts), queries, 5)
        if engine.name.startswith("bm25s"):
            assert found[0].shape == (3, 5)  # type: ignore[index]
        elif not engine.returned:
            assert all(len(ranking) <= 5 for ranking in found)  # type: ignore[attr-defined]


def test_peers_that_are_absent_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixbench.experiments.bench_bm25_peers.find_spec", lambda name: None)
    measured = bench_bm25(BM25Settings(documents=50, queries=2, k=5))
    assert len(measured.rows) == 2
    assert measured.notes[-1].startswith("bm25s is not installed and was left out")


def test_a_bench_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="queries is 0; give at least 1"):
        BM25Settings(queries=0)
    with pytest.raises(UnknownName, match="unknown work 'indx'; did you mean 'index'"):
        BM25Settings(work="indx")
