"""The rules that judge claims, and how figures are read out of evidence: exact answers by exact numbers."""

import json
from pathlib import Path

import pytest

from mixbench.errors import InputError
from mixbench.experiments.claims.figures import files_of, loss_at, read_figure
from mixbench.experiments.claims.rules import (
    Figure,
    above,
    below,
    difference,
    higher,
    lower,
    similar,
    times_as_much,
    verdict,
)


def between(low: float, high: float) -> Figure:
    return Figure(value=(low + high) / 2, ends=(low, high))


@pytest.mark.parametrize(
    ("a", "b", "margin", "answer"),
    [
        (between(0.1, 0.2), between(0.3, 0.4), 0.0, "yes"),
        (between(0.1, 0.2), between(0.3, 0.4), 0.2, "unclear"),
        (between(0.1, 0.2), between(0.3, 0.4), 0.4, "no"),
        (between(0.3, 0.4), between(0.1, 0.2), 0.0, "no"),
        (between(0.1, 0.3), between(0.2, 0.4), 0.0, "unclear"),
        (Figure.plain(1.0), Figure.plain(1.0), 0.0, "no"),
        (Figure.plain(1.0), Figure.plain(1.1), 0.05, "yes"),
        (Figure.plain(1.0), Figure.plain(1.1), 0.2, "no"),
    ],
)
def test_lower_wants_the_whole_interval_below_the_margin(a, b, margin, answer) -> None:
    assert lower(a, b, margin) == answer
    assert higher(b, a, margin) == answer


@pytest.mark.parametrize(
    ("a", "answer"),
    [(between(0.99, 1.01), "yes"), (between(0.95, 1.05), "unclear"), (between(1.2, 1.3), "no")],
)
def test_similar_wants_the_whole_interval_within_the_margin(a: Figure, answer: str) -> None:
    assert similar(a, Figure.plain(1.0), 0.02) == answer
    assert similar(Figure.plain(1.0), a, 0.02) == answer


@pytest.mark.parametrize(
    ("low", "high", "is_below", "is_above"),
    [
        (0.1, 0.2, "yes", "no"),
        (0.4, 0.6, "unclear", "unclear"),
        (0.7, 0.8, "no", "yes"),
        (0.5, 0.5, "no", "no"),
    ],
)
def test_a_limit_is_passed_by_the_whole_interval(low, high, is_below, is_above) -> None:
    assert below(between(low, high), 0.5) == is_below
    assert above(between(low, high), 0.5) == is_above


@pytest.mark.parametrize(("a", "answer"), [(6.0, "yes"), (5.9, "no")])
def test_a_factor_is_reached_or_not(a: float, answer: str) -> None:
    assert times_as_much(Figure.plain(a), Figure.plain(2.0), 3) == answer


def test_samples_of_the_same_texts_are_compared_in_pairs() -> None:
    easy_and_hard = [1.0, 5.0, 2.0, 9.0, 3.0, 7.0]
    a, b = Figure.mean(easy_and_hard), Figure.mean([sample + 0.1 for sample in easy_and_hard])
    assert lower(between(a.low, a.high), between(b.low, b.high)) == "unclear"
    assert lower(a, b) == "yes"
    found = difference(a, b)
    assert (found.value, found.low, found.high) == pytest.approx((-0.1, -0.1, -0.1))


def test_samples_of_different_numbers_are_compared_by_their_intervals() -> None:
    a, b = Figure.mean([1.0, 2.0]), Figure.mean([1.1, 2.1, 3.1])
    found = difference(a, b)
    assert (found.low, found.high) == (a.low - b.high, a.high - b.low)


def test_a_mean_has_the_interval_of_its_bootstrap_and_keeps_its_samples() -> None:
    figure = Figure.mean([0.0, 1.0] * 50)
    assert figure.value == 0.5
    assert (figure.low, figure.high) == pytest.approx((0.4, 0.6), abs=0.011)
    assert figure.times(2).samples == [0.0, 2.0] * 50
    assert figure.times(2).high == 2 * figure.high


def of_seeds(*seeds: list[float]) -> Figure:
    return Figure.of_seeds([Figure.mean(samples) for samples in seeds])


def test_three_seeds_have_the_t_interval_of_their_mean() -> None:
    figure = of_seeds([1.0, 1.0], [2.0, 2.0], [3.0, 3.0])
    half = 4.303 / 3**0.5
    assert (figure.value, figure.low, figure.high) == pytest.approx((2, 2 - half, 2 + half))
    assert figure.times(2).seeds[2].value == 6


def test_seeds_are_compared_each_with_the_same_seed() -> None:
    a, b = of_seeds([1.0, 5.0], [2.0, 6.0], [9.0, 3.0]), of_seeds([1.5, 5.5], [2.5, 6.5], [9.5, 3.5])
    found = difference(a, b)
    assert (found.value, found.low, found.high) == pytest.approx((-0.5, -0.5, -0.5))
    assert lower(a, b) == "yes"
    assert lower(between(a.low, a.high), between(b.low, b.high)) == "unclear"


def test_beside_one_seed_the_first_of_several_stands() -> None:
    several, one = of_seeds([1.0, 2.0], [7.0, 8.0]), Figure.mean([1.5, 2.5])
    assert difference(several, one).value == -0.5
    assert difference(one, several).value == 0.5


@pytest.mark.parametrize(
    ("answers", "whole", "said"),
    [
        (["yes", "yes"], True, "holds"),
        (["yes", "yes"], False, "holds in part"),
        (["yes", "no"], True, "holds in part"),
        (["yes", "unclear"], True, "holds in part"),
        (["no", "unclear"], True, "undecided"),
        (["no", "no"], True, "fails"),
        (["no"], False, "fails"),
    ],
)
def test_a_verdict_follows_from_all_answers(answers, whole, said) -> None:
    assert verdict(answers, whole=whole) == said


def test_pools_give_each_query_its_exact_top1(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"documents": 4, "ranks": "1 2 4"}')
    figure = read_figure(tmp_path, "p.json^3")
    assert figure is not None
    assert figure.samples == pytest.approx([1, 2 / 3, 0])
    assert files_of("p.json^3") == ["p.json"]
    (tmp_path / "p.json").write_text('{"documents": 4}')
    with pytest.raises(InputError, match="no report of pools: it has no ranks"):
        read_figure(tmp_path, "p.json^3")


EVIDENCE = {
    "plain": 3,
    "nothing": None,
    "samples": [1.0, 3.0],
    "word": "x",
    "rows": [
        {"n": 32, "kind": "a.b", "exact": {"mean": 0.5, "low": 0.4, "high": 0.6}},
        {"n": 64, "kind": "a.b", "exact": {"mean": 0.3, "low": 0.2, "high": 0.4}},
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "e.json").write_text(json.dumps(EVIDENCE))
    return tmp_path


def test_a_name_with_brackets_of_its_own_is_chosen_by(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text('[{"model": "small[context=64]", "tokens": 64, "ham": 1.5}]')
    assert read_figure(tmp_path, "e.json#[model=small[context=64];tokens=64].ham") == Figure.plain(1.5)


def test_a_reference_leads_to_a_number_a_mean_with_its_interval_or_samples(folder: Path) -> None:
    assert read_figure(folder, "e.json#plain") == Figure.plain(3)
    assert read_figure(folder, "e.json#nothing") is None
    row = read_figure(folder, "e.json#rows[n=32;kind=a.b].exact")
    assert row == Figure(value=0.5, ends=(0.4, 0.6))
    assert read_figure(folder, "e.json#rows[n=64].exact.low") == Figure.plain(0.2)
    samples = read_figure(folder, "e.json#samples")
    assert samples is not None
    assert (samples.value, samples.samples) == (2.0, [1.0, 3.0])


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("e.json#rows[n=128].exact", r"nothing is at 'rows\[n=128\]'"),
        ("e.json#rows[kind=a.b].exact", "nothing is at 'rows"),
        ("e.json#plan", "nothing is at 'plan'"),
        ("e.json#word", "'e.json#word' leads to no figure"),
        ("absent.json#plain", "absent.json: no evidence can be read"),
        ("e.json@e.json", "no record of pretraining"),
    ],
)
def test_a_reference_that_leads_nowhere_names_the_file(folder: Path, reference: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_figure(folder, reference)


def test_the_loss_at_a_moment_lies_on_the_line_between_two_points() -> None:
    curve = [{"seconds": 0.0, "loss": 9.0}, {"seconds": 10.0, "loss": 5.0}, {"seconds": 30.0, "loss": 3.0}]
    losses = [loss_at(curve, seconds) for seconds in (0, 5, 10, 20, 30, 99)]
    assert losses == [9.0, 7.0, 5.0, 4.0, 3.0, 3.0]


def test_two_curves_are_compared_when_the_shorter_has_ended(tmp_path: Path) -> None:
    curves = {"fast": (10, 4.0), "slow": (20, 2.0)}
    for name, (seconds, loss) in curves.items():
        points = [{"seconds": 0, "loss": 8.0}, {"seconds": seconds, "loss": loss}]
        (tmp_path / f"{name}.json").write_text(json.dumps({"validation_curve": points}))
    assert read_figure(tmp_path, "fast.json@slow.json") == Figure.plain(4.0)
    assert read_figure(tmp_path, "slow.json@fast.json") == Figure.plain(5.0)
    assert files_of("slow.json@fast.json") == ["slow.json", "fast.json"]
