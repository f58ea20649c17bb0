"""The bench of language modelling: equal tokens a step, figures that follow from what was timed."""

import json
from pathlib import Path

import pytest
from command import Run, refused

from mixbench.errors import InputError, UnknownName
from mixbench.experiments.bench_lm import LmBenchSettings, LmContender, bench_lm
from mixbench.experiments.matmul_peak import copy_bandwidth

SMALL = "tiny[width=32,depth=1,context=16]"
TWIN = "tiny-twin[width=32,depth=1,context=16,feedforward=32]"
SETTINGS = LmBenchSettings(tokens=64, steps=2, rounds=3)


def test_models_of_any_context_learn_as_many_tokens_a_step() -> None:
    long = "tiny[width=32,depth=1,context=32]"
    one, other = LmContender(SMALL, SETTINGS), LmContender(long, SETTINGS)
    assert (one.batch_size, one.context, one.tokens) == (4, 16, 128)
    assert (other.batch_size, other.context, other.tokens) == (2, 32, 128)
    before = one.run.history.step
    one.run_round()
    assert one.run.history.step - before == 2


def test_operations_of_a_token_are_those_of_mixing_channels_and_logits() -> None:
    contender = LmContender(SMALL, SETTINGS)
    mixing, channels, logits = 16 * 32, 2 * 32 * 128, 32 * 16_384
    assert contender.flops_per_token == 2 * (mixing + channels + logits)


def test_figures_follow_from_the_seconds() -> None:
    report = bench_lm([SMALL, TWIN], SETTINGS)
    first, second = report.rows
    figures = report.figures(second)
    assert (report.per_round, len(first.seconds), len(second.seconds)) == (128, 3, 3)
    assert figures["tokens_per_second"]["rounds"] == [128 / each for each in second.seconds]
    ratios = [ours / theirs for ours, theirs in zip(first.seconds, second.seconds, strict=True)]
    assert figures["against"][SMALL]["ratio"]["rounds"] == ratios
    pace = figures["tokens_per_second"]["median"] * 3 * figures["forward_flops_per_token"]
    assert figures["giga_flops_per_second"] == pytest.approx(pace / 1e9)
    assert figures["share_of_peak"] == pytest.approx(pace / 1e9 / report.settings["peak_gflops"], rel=1e-2)
    assert (figures["memory_bytes"], figures["memory_mb"]) == (None, None)
    assert report.settings["copy_gigabytes_a_second"] > 0


def test_who_cannot_take_part_is_left_out_with_the_reason() -> None:
    report = bench_lm([SMALL, "tiny-bi-twin[width=32,depth=1,context=16,feedforward=32]"], SETTINGS)
    assert [row.name for row in report.rows] == [SMALL]
    assert "does not look back only" in report.notes[1]
    with pytest.raises(InputError, match="reads 128 tokens; give --tokens 128 or more"):
        LmContender("tiny[width=32,depth=1,context=128]", SETTINGS)
    with pytest.raises(UnknownName, match="huge"):
        bench_lm(["huge"], SETTINGS)
    with pytest.raises(InputError, match="named twice"):
        bench_lm([SMALL, SMALL], SETTINGS)


def test_a_copy_has_a_pace() -> None:
    assert 1e8 < copy_bandwidth("cpu", seconds=0.05) < 1e13


def test_the_verb_prints_and_writes_its_figures(run: Run) -> None:
    ended = run("bench", "lm", SMALL, TWIN, "--tokens", 64, "--steps", 1, "--rounds", 1, "-o", "lm.json")
    assert (ended.status, "tokens/s" in ended.out, "of peak" in ended.out) == (0, True, True)
    written = json.loads(Path("lm.json").read_text())
    assert [row["name"] for row in written["rows"]] == [SMALL, TWIN]
    refused(run("bench", "lm", "tiny[width]"), "width")
