"""Statistics of scores: they agree with scipy, statsmodels, mteb and enumeration, and keep their promises."""

import itertools
import time

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from mixbench.leaderboard.samples import Sample, sample_mean, sample_task
from mixbench.leaderboard.statistics import (
    Numbers,
    average_ranks,
    bootstrap,
    borda_ranks,
    enumerated_means,
    flipped_means,
    holm,
    make_stratum,
    over_tasks,
    paired_t,
    percentile_interval,
    randomisation_p,
    rank_intervals,
    resampled_means,
)


def scores(m: int, n: int, seed: int = 0) -> Numbers:
    """Scores like nDCG@10: many zeros, many ones, the rest between; systems share what makes a query hard."""
    rng = np.random.default_rng(seed)
    hardness, own = rng.normal(size=n), rng.normal(size=(m, n))
    return np.clip(0.5 + hardness + 0.5 * own, 0, 1)


# Intervals


def test_an_interval_is_scipys_where_the_same_resamples_are_drawn() -> None:
    given = scores(1, 60)
    indices = np.random.default_rng(7).integers(0, 60, (2_000, 60))

    low, high = percentile_interval(resampled_means(make_stratum(given), indices))

    theirs = scipy.stats.bootstrap(
        (given[0],), np.mean, n_resamples=2_000, method="percentile", rng=np.random.default_rng(7)
    ).confidence_interval
    assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high), abs=1e-14)


def test_an_interval_agrees_with_scipys_within_four_monte_carlo_standard_errors() -> None:
    given = scores(1, 60)
    ends = np.concatenate(
        percentile_interval(bootstrap([make_stratum(given)], np.random.default_rng(0), 10_000))
    )

    theirs = []
    for seed in range(30):
        found = scipy.stats.bootstrap((given[0],), np.mean, n_resamples=9_999, method="percentile", rng=seed)
        theirs.append([found.confidence_interval.low, found.confidence_interval.high])
    standard_error = np.std(theirs, axis=0, ddof=1)
    assert np.all(np.abs(ends - np.mean(theirs, axis=0)) < 4 * standard_error)


def test_queries_of_one_document_are_drawn_together() -> None:
    given = np.array([[0.0, 0.0, 1.0, 1.0, 1.0]])
    stratum = make_stratum(given, np.array([4, 4, 9, 9, 9]))

    drawn = resampled_means(stratum, np.array([[0, 0], [0, 1], [1, 1]]))

    assert drawn[:, 0].tolist() == [0.0, 0.6, 1.0]


def test_intervals_that_draw_documents_cover_where_those_that_draw_queries_do_not() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(60), 5)
    covered = {"documents": 0, "queries": 0}
    for seed in range(200):
        given = (np.repeat(rng.normal(size=60), 5) + 0.5 * rng.normal(size=300))[None]
        for name, units in (("documents", clusters), ("queries", None)):
            low, high = percentile_interval(
                bootstrap([make_stratum(given, units)], np.random.default_rng(seed), 500)
            )
            covered[name] += int(low[0] <= 0 <= high[0])
    assert covered["documents"] >= 0.91 * 200
    assert covered["queries"] < 0.75 * 200


def test_parts_are_drawn_apart_and_count_the_same() -> None:
    constant, other = make_stratum(np.full((1, 3), 0.25)), make_stratum(np.full((1, 50), 0.75))

    assert np.all(bootstrap([constant, other], np.random.default_rng(0), 10) == 0.5)


def test_a_mean_over_few_tasks_holds_them_fixed_and_one_over_many_draws_them() -> None:
    draws = [np.full((1_000, 1), level) for level in np.linspace(0.1, 0.9, 9)]

    fixed, drawn = over_tasks(draws, None), over_tasks(draws, np.random.default_rng(0))

    assert fixed.std() == pytest.approx(0, abs=1e-12)
    assert drawn.std() == pytest.approx(np.std(np.linspace(0.1, 0.9, 9)) / 3, rel=0.1)


def test_a_task_drawn_twice_brings_queries_drawn_twice() -> None:
    draws = [np.arange(100.0)[:, None], np.arange(100.0)[:, None]]

    drawn = over_tasks(draws, np.random.default_rng(0))[:, 0]

    assert np.all(drawn % 1 == 0)
    assert not np.any(drawn == np.arange(100.0))  # the mean of a resample and of another one


def test_the_same_seed_gives_the_same_numbers_whatever_else_is_on_the_board() -> None:
    few, many = scores(2, 40), scores(5, 40, seed=1)
    many[:2] = few

    alone, among = (
        sample_task("toy/sea", [make_stratum(few)], 3),
        sample_task("toy/sea", [make_stratum(many)], 3),
    )

    assert np.allclose(alone.draws, among.draws[:, :2], rtol=0, atol=1e-14)
    assert np.allclose(alone.flipped, among.flipped[:, :2], rtol=0, atol=1e-14)
    assert not np.allclose(alone.draws, sample_task("toy/land", [make_stratum(few)], 3).draws)
    assert not np.allclose(alone.draws, sample_task("toy/sea", [make_stratum(few)], 4).draws)


# Tests


def brute_force(deltas: Numbers) -> float:
    """The share of all sign patterns whose mean is at least as far from 0, by enumeration."""
    observed = abs(deltas.mean())
    patterns = itertools.product((-1, 1), repeat=len(deltas))
    return float(np.mean([abs(np.mean(np.array(signs) * deltas)) >= observed - 1e-12 for signs in patterns]))


@pytest.mark.parametrize("seed", range(5))
def test_the_randomisation_test_of_few_queries_is_exact(seed: int) -> None:
    given = np.round(scores(2, 9, seed), 1)  # with ties

    sample = sample_task("toy/sea", [make_stratum(given)], 0)

    assert sample.exact
    assert sample.p_values(0)[1] == brute_force(given[1] - given[0])
    theirs = scipy.stats.permutation_test(
        (given[1], given[0]), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
    )
    assert sample.p_values(0)[1] == pytest.approx(theirs.pvalue)


def test_the_randomisation_test_of_random_signs_agrees_with_the_exact_one() -> None:
    given = scores(2, 12, seed=2)
    stratum = make_stratum(given)
    null = flipped_means([stratum], np.random.default_rng(0), 10_000)
    difference = stratum.means[1:] - stratum.means[:1]

    found = randomisation_p(difference, null[:, [1]] - null[:, [0]], exact=False)[0]

    exact = brute_force(given[1] - given[0])
    assert abs(found - exact) < 4 * (exact * (1 - exact) / 10_000) ** 0.5
    assert 0.05 < exact < 0.95


def test_several_small_tasks_are_enumerated_together() -> None:
    first, second = scores(2, 4), scores(2, 5, seed=1)
    tasks = [[make_stratum(first)], [make_stratum(second)]]
    samples = [sample_task(f"toy/{k}", strata, 0) for k, strata in enumerate(tasks)]

    whole = sample_mean(samples, [[0, 1], [0, 1]], 0, draw_tasks=False)

    weighted = np.concatenate([(first[1] - first[0]) / 4, (second[1] - second[0]) / 5])
    assert whole.exact
    assert whole.p_values(0)[1] == brute_force(weighted)
    assert enumerated_means([[make_stratum(scores(2, 14))]]) is None


def test_a_t_test_of_single_queries_is_students() -> None:
    given = scores(2, 40)
    theirs = scipy.stats.ttest_rel(given[1], given[0])

    ours = paired_t([[make_stratum(given)]], 0, 1)

    deltas = given[1] - given[0]
    assert (ours.difference, ours.p_value) == pytest.approx((deltas.mean(), theirs.pvalue))
    assert ours.effect == pytest.approx(deltas.mean() / deltas.std(ddof=1))


def test_a_t_test_of_two_strata_is_welchs() -> None:
    first, second = scores(2, 30), scores(2, 50, seed=1)
    opposed = [make_stratum(first), make_stratum(second[::-1].copy())]
    theirs = scipy.stats.ttest_ind(first[1] - first[0], second[1] - second[0], equal_var=False)

    assert paired_t([opposed], 0, 1).p_value == pytest.approx(theirs.pvalue)


def test_equal_scores_have_the_p_value_1() -> None:
    same = np.tile(scores(1, 30), (2, 1))
    sample = sample_task("toy/sea", [make_stratum(same)], 0)

    assert sample.p_values(0) == [1.0, 1.0]
    assert paired_t([[make_stratum(same)]], 0, 1).p_value == 1.0
    assert rank_intervals(sample.means, sample.draws) == [(1, 2), (1, 2)]


def test_holm_is_statsmodels_holm() -> None:
    p_values = [0.04, 0.001, 0.6, 0.013, 0.013, 0.9]

    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert holm([]) == []


@pytest.mark.parametrize("clustered", [False, True])
def test_where_nothing_differs_one_test_in_twenty_says_so(clustered: bool) -> None:
    simulations, n = 2_000, 60
    rng = np.random.default_rng(0)
    hard = np.repeat(rng.normal(size=(simulations, n // 3)), 3, axis=1)
    shared = 0.7 * np.repeat(rng.normal(size=(2, simulations, n // 3)), 3, axis=2) if clustered else 0.0
    given = np.clip(0.5 + hard + 0.5 * rng.normal(size=(2, simulations, n)) + shared, 0, 1)
    clusters = np.repeat(np.arange(n // 3), 3) if clustered else None
    stratum = make_stratum(given.reshape(-1, n), clusters)

    null = flipped_means([stratum], rng, 999)
    difference = stratum.means[simulations:] - stratum.means[:simulations]
    by_signs = randomisation_p(difference, null[:, simulations:] - null[:, :simulations], exact=False)
    by_t = [paired_t([[stratum]], k, simulations + k).p_value for k in range(simulations)]

    assert 0.03 < np.mean(by_signs < 0.05) < 0.07
    assert 0.03 < np.mean(np.array(by_t) < 0.05) < 0.07


# Ranks


@pytest.mark.parametrize("step", [0.001, 0.05, 0.2])
def test_rank_intervals_cover_the_true_ranks(step: float) -> None:
    m, n, simulations = 8, 50, 150
    rng = np.random.default_rng(0)
    true = -step * np.arange(m)
    covered, width = 0, 0
    for seed in range(simulations):
        given = true[:, None] + rng.normal(size=n) + 0.5 * rng.normal(size=(m, n))
        stratum = make_stratum(given)
        draws = bootstrap([stratum], np.random.default_rng(seed), 500)
        for rank, (low, high) in enumerate(rank_intervals(stratum.means, draws), start=1):
            covered += low <= rank <= high
            width += high - low
    assert covered >= 0.93 * simulations * m
    assert width < (m - 1) * simulations * m * (0.75 if step == 0.2 else 1.01)


def test_ranks_are_sure_where_systems_are_far_apart() -> None:
    given = np.array([[0.9], [0.5], [0.1]]) + 0.01 * np.random.default_rng(0).normal(size=(3, 50))
    stratum = make_stratum(given)

    draws = bootstrap([stratum], np.random.default_rng(0), 1_000)

    assert rank_intervals(stratum.means, draws) == [(1, 1), (2, 2), (3, 3)]


def test_equal_scores_share_a_rank() -> None:
    assert average_ranks(np.array([0.5, 0.9, 0.5, np.nan])).tolist()[:3] == [2.5, 1.0, 2.5]
    assert borda_ranks(np.array([[0.5, 0.4], [0.9, np.nan], [0.5, 0.3]])) == [1, 2, 3]


def test_borda_ranks_are_mtebs() -> None:
    import polars
    from mteb.benchmarks._create_table import _get_borda_rank

    table = np.round(np.random.default_rng(0).random((12, 7)), 1)  # with ties
    frame = polars.DataFrame(table, schema=[f"task{k}" for k in range(7)])

    theirs = frame.select(_get_borda_rank(frame.columns)).to_series().to_list()

    assert borda_ranks(table) == theirs


# Time


def test_thirty_systems_on_fifteen_tasks_take_seconds() -> None:
    start = time.perf_counter()
    samples: list[Sample] = [
        sample_task(f"toy/{k}", [make_stratum(scores(30, 1_000, seed=k))], 0) for k in range(15)
    ]
    whole = sample_mean(samples, [range(30)] * 15, 0, draw_tasks=True)

    assert len(rank_intervals(whole.means, whole.draws)) == 30
    assert time.perf_counter() - start < 20
