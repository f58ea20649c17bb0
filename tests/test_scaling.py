"""What more GPUs would take: the laws by which the README's estimates grow."""

import json
from pathlib import Path

import pytest

from mixbench.experiments.scaling import (
    BOARD,
    CORES,
    KEEPING,
    READING,
    START,
    TASK,
    TOKENISING,
    Measured,
    estimate_run,
    measured,
    scaling_table,
    useful_gpus,
)

ONE = Measured(model="one", machine="a GPU", documents_per_second=1_000, seconds_a_pair=1e-9)


def test_an_estimate_is_what_the_laws_say() -> None:
    run = estimate_run(ONE, 2, documents=1_000_000, queries=1_000, dollars=2)
    assert run.encoding == pytest.approx(START + 500)
    rest = 1_000_000 * (READING + TOKENISING / CORES) + 1
    assert run.total == pytest.approx(run.encoding + rest)
    assert run.gpu_hours == pytest.approx((2 * run.encoding + rest) / 3600)
    assert run.dollars == pytest.approx(2 * run.gpu_hours)


def test_past_what_the_process_of_eval_keeps_more_gpus_gain_nothing() -> None:
    most = useful_gpus(ONE)
    assert most == int(1 / (1_000 * KEEPING))
    few, enough, many = (estimate_run(ONE, gpus).encoding for gpus in (most // 2, most + 1, 10 * most))
    assert few > enough == many


def test_twice_the_documents_take_twice_the_time_beside_the_start() -> None:
    one, two = (estimate_run(ONE, 8, documents=each).total - START for each in (1_000_000, 2_000_000))
    assert two == pytest.approx(2 * one)


def test_the_speeds_are_those_of_committed_results() -> None:
    found = measured("all-MiniLM-L6-v2")
    paths = list((BOARD / "all-MiniLM-L6-v2").glob(f"*/{TASK}.json"))
    costs = [json.loads(path.read_text())["costs"] for path in paths]
    assert found.documents_per_second in [each["documents_per_second"] for each in costs]
    assert found.machine.startswith("NVIDIA")
    assert f"| {found.documents_per_second:,.0f} ({found.machine}) | 64 |" in scaling_table()


def test_the_documents_that_were_measured_have_about_the_words_of_a_passage(shared_data: Path) -> None:
    from mixbench.experiments.scaling import MEASURED_WORDS, WORDS

    lines = (shared_data / TASK / "corpus.jsonl").read_text().splitlines()
    texts = [json.loads(line) for line in lines]
    words = sum(len(f"{each.get('title', '')} {each['text']}".split()) for each in texts) / len(texts)
    assert words == pytest.approx(MEASURED_WORDS, abs=0.05)
    assert words == pytest.approx(WORDS, rel=0.05)
