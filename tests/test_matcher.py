"""Set matchers: which of them see rows, what they learn, and that sets are drawn as they are said to be."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.experiments.matching import UnmaskedBlock
from mixbench.probes.matcher import BlockMatcher, CosineMatcher, DistanceMatcher, EquivariantBlock
from mixbench.probes.matcher_scoring import rerank, score_matcher
from mixbench.probes.matcher_sets import EmbeddedPairs, draw_candidates, drawn_batches
from mixbench.probes.matcher_training import Epoch, MatcherSettings, rate_share, train_matcher
from mixbench.probes.pools import score_pools
from mixbench.probes.scorers import EmbeddingScorer

WIDTH, ROWS = 16, 6


def random_pairs(pairs: int = 40, documents: int = 40, noise: float = 0.0, seed: int = 0) -> EmbeddedPairs:
    """Documents at random, and queries that are those documents, somewhat moved."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(documents, WIDTH, generator=generator)
    positives = torch.arange(pairs) % documents
    moved = noise * torch.randn(pairs, WIDTH, generator=generator)
    return EmbeddedPairs(queries=embeddings[positives] + moved, documents=embeddings, positives=positives)


def mixer(seed: int = 0, depth: int = 2) -> BlockMatcher:
    return BlockMatcher(UnmaskedBlock, width=WIDTH, rows=ROWS, depth=depth, seed=seed)


def equivariant(seed: int = 0) -> BlockMatcher:
    return BlockMatcher(EquivariantBlock, width=WIDTH, rows=ROWS, depth=2, seed=seed)


def some_sets(sets: int = 5, rows: int = ROWS) -> Tensor:
    return torch.randn(sets, rows, WIDTH, generator=torch.Generator().manual_seed(1))


# Networks


def test_a_matcher_gives_each_candidate_a_number() -> None:
    for matcher in (mixer(), equivariant(), CosineMatcher(), DistanceMatcher(1)):
        assert matcher(some_sets()).shape == (5, ROWS - 1)


def test_candidates_that_change_places_take_their_numbers_along_in_all_but_the_mixer() -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    moved = torch.cat([some_sets()[:, :1], some_sets()[:, 1:][:, order]], dim=1)
    for matcher in (equivariant(), CosineMatcher(), DistanceMatcher(2)):
        torch.testing.assert_close(matcher(moved), matcher(some_sets())[:, order])
    assert (mixer()(moved) - mixer()(some_sets())[:, order]).abs().max() > 0.1


def test_every_row_of_a_set_has_a_say_in_each_number() -> None:
    for matcher in (mixer(), equivariant()):
        before = matcher(some_sets())
        for row in range(ROWS):
            sets = some_sets()
            sets[:, row] += torch.randn(WIDTH, generator=torch.Generator().manual_seed(row))
            assert ((matcher(sets) - before).abs() > 1e-6).all()


def test_a_block_of_the_control_is_a_block_of_the_mixer_with_a_tied_matrix() -> None:
    tied, mixer_block = EquivariantBlock(WIDTH, ROWS), UnmaskedBlock(WIDTH, ROWS)
    own, of_mean, of_query, query_own, query_of_mean = tied.weight.detach()
    matrix = of_mean / (ROWS - 1) + own * torch.eye(ROWS)
    matrix[0], matrix[:, 0] = query_of_mean / (ROWS - 1), of_query
    matrix[0, 0] = query_own
    weights = {name: value for name, value in tied.state_dict().items() if name not in ("weight", "bias")}
    weights["token_mixing.weight"] = matrix
    weights["token_mixing.bias"] = tied.bias.detach()[[0] + [1] * (ROWS - 1)]
    mixer_block.block.load_state_dict(weights)
    torch.testing.assert_close(tied(some_sets()), mixer_block(some_sets()))


def test_the_control_runs_on_sets_of_any_size() -> None:
    assert equivariant()(some_sets(rows=20)).shape == (5, 19)


@pytest.mark.parametrize(("rows", "millions"), [(32, 16.8), (1024, 25.2)])
def test_the_papers_matcher_has_the_papers_parameters(rows: int, millions: float) -> None:
    with torch.device("meta"):
        matcher = BlockMatcher(UnmaskedBlock, width=512, rows=rows)
    count = sum(parameter.numel() for parameter in matcher.parameters())
    assert count == 8 * (8 * 512**2 + 9 * 512 + rows**2 + rows) + 512 + 1
    assert round(count / 1e6, 1) == millions


def test_the_control_is_the_mixer_but_for_its_matrix() -> None:
    sizes = [sum(parameter.numel() for parameter in each.parameters()) for each in (mixer(), equivariant())]
    assert sizes[0] - sizes[1] == 2 * (ROWS**2 + ROWS - 7)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_one_alone() -> None:
    state = torch.get_rng_state()
    assert (mixer(3)(some_sets()) == mixer(3)(some_sets())).all()
    assert (mixer(3)(some_sets()) != mixer(4)(some_sets())).all()
    assert (torch.get_rng_state() == state).all()


def test_the_numbers_without_training_are_cosines_and_distances() -> None:
    sets = torch.tensor([[[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]]])
    assert CosineMatcher(0.5)(sets)[0].tolist() == pytest.approx([1.2, 0.0])
    assert DistanceMatcher(1)(sets).tolist() == [[-6.0, -3.0]]
    assert DistanceMatcher(2)(sets)[0].tolist() == pytest.approx([-math.sqrt(20), -math.sqrt(5)])


# Sets


def test_a_set_has_the_match_once_and_at_each_column_equally_often() -> None:
    documents, candidates, draws = 7, 4, 6_000
    generator = torch.Generator().manual_seed(0)
    drawn, match = draw_candidates(torch.full((draws,), 2), documents, candidates, generator)
    assert all(len(set(row)) == candidates for row in drawn.tolist())
    assert (drawn.gather(1, match[:, None]) == 2).all()
    columns = Counter(match.tolist())
    assert all(abs(columns[column] - draws / 4) < 4 * math.sqrt(draws * 3 / 16) for column in range(4))


def test_over_many_orders_every_other_document_is_drawn_equally_often() -> None:
    documents, candidates, draws = 7, 4, 3_000
    generator = torch.Generator().manual_seed(0)
    counts: Counter[int] = Counter()
    pairs: Counter[tuple[int, ...]] = Counter()
    for _ in range(draws):
        drawn, _ = draw_candidates(torch.tensor([2]), documents, candidates, generator)
        others = sorted(set(drawn[0].tolist()) - {2})
        assert len(others) == 3
        counts.update(others)
        pairs.update([tuple(others)])
    assert all(abs(counts[other] - draws / 2) < 4 * math.sqrt(draws / 4) for other in (0, 1, 3, 4, 5, 6))
    assert len(pairs) == math.comb(6, 3)
    assert all(abs(each - draws / 20) < 4 * math.sqrt(draws * 0.05 * 0.95) for each in pairs.values())


def test_a_set_may_hold_all_documents() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn, _ = draw_candidates(torch.tensor([0, 1, 2, 3]), 4, 4, generator)
    assert drawn.sort(dim=1).values.tolist() == [[0, 1, 2, 3]] * 4


def test_an_epoch_has_a_set_for_each_query_with_the_query_first_and_its_match_where_it_is_said() -> None:
    pairs = random_pairs(pairs=10, documents=8)
    seen = []
    for sets, match in drawn_batches(pairs, ROWS, 4, torch.Generator().manual_seed(0), shuffle=True):
        assert len(sets) in (4, 2)
        for rows, place in zip(sets, match.tolist(), strict=True):
            (document,) = (pairs.documents == rows[1 + place]).all(dim=1).nonzero().squeeze(1).tolist()
            query = next(i for i in range(10) if int(pairs.positives[i]) == document and i not in seen)
            assert (pairs.queries[query] == rows[0]).all()
            seen.append(query)
    assert sorted(seen) == list(range(10))
    assert seen != sorted(seen)


# Scores


def test_cosine_is_perfect_on_orthonormal_embeddings() -> None:
    documents = torch.eye(WIDTH)
    pairs = EmbeddedPairs(queries=documents * 7, documents=documents, positives=torch.arange(WIDTH))
    scores = score_matcher(CosineMatcher(0.02), pairs, ROWS, draws=3)
    assert scores.top1.tolist() == [1.0] * WIDTH
    assert scores.cross_entropy == pytest.approx([math.log(1 + 4 * math.exp(-50))] * WIDTH, abs=1e-7)
    assert rerank(CosineMatcher(), pairs, ROWS).tolist() == [1] * WIDTH


def test_a_matcher_that_tells_nothing_apart_has_the_cross_entropy_of_chance() -> None:
    nothing = score_matcher(lambda sets: torch.zeros(len(sets), 5), random_pairs(pairs=4_000), ROWS)
    assert nothing.cross_entropy == pytest.approx([math.log(5)] * 4_000, abs=1e-6)
    assert nothing.top1.mean() == pytest.approx(1 / 5, abs=0.03)


def test_sets_of_one_seed_are_the_same_for_all_matchers() -> None:
    seen: list[Tensor] = []

    def watching(sets: Tensor) -> Tensor:
        seen.append(sets)
        return CosineMatcher()(sets)

    for seed in (0, 0, 1):
        score_matcher(watching, random_pairs(), ROWS, seed=seed)
    assert (seen[0] == seen[1]).all()
    assert (seen[0] != seen[2]).any()


def test_a_reranker_by_cosine_leaves_the_ranks_of_cosine() -> None:
    pairs = random_pairs(noise=1.5)
    cosine = EmbeddingScorer(pairs.queries, pairs.documents)
    wanted = score_pools(cosine, pairs.positives, (3,), seeds=()).ranks
    assert len(set(wanted.tolist())) > 5
    assert (rerank(CosineMatcher(), pairs, ROWS, batch_size=7) == wanted).all()


def test_a_reranker_turns_the_best_around_and_leaves_the_rest() -> None:
    pairs = random_pairs(noise=1.5)
    wanted = rerank(CosineMatcher(), pairs, ROWS)
    found = rerank(lambda sets: -CosineMatcher()(sets), pairs, ROWS)
    assert found.tolist() == [ROWS - rank if rank < ROWS else rank for rank in wanted.tolist()]
    assert {rank < ROWS for rank in wanted.tolist()} == {True, False}


def test_a_reranker_shows_its_candidates_in_random_order() -> None:
    pairs = random_pairs(pairs=2_000)
    by_row = rerank(lambda sets: -torch.arange(5.0).expand(len(sets), 5), pairs, ROWS)
    assert np.bincount(by_row, minlength=6)[1:].tolist() == pytest.approx([400] * 5, abs=4 * math.sqrt(320))


# Training


@pytest.mark.parametrize("make", [mixer, equivariant])
def test_training_finds_the_match_where_it_was_chance_before(make: object) -> None:
    matcher = make()  # type: ignore[operator]
    train, dev, test = (random_pairs(pairs=n, documents=n, noise=0.2, seed=n) for n in (1_000, 100, 200))
    assert score_matcher(matcher, test, ROWS).top1.mean() < 0.4
    settings = MatcherSettings(epochs=12, batch_size=50, learning_rate=3e-3, warmup_steps=20)
    training = train_matcher(matcher, train, dev, ROWS, settings)
    after = score_matcher(matcher, test, ROWS)
    assert after.top1.mean() > 0.7
    assert after.cross_entropy.mean() < 0.5 * math.log(ROWS - 1)
    assert training.curve[-1].train < training.curve[0].train
    assert training.sets_per_second > 0


def test_the_weights_that_did_best_on_held_out_sets_remain() -> None:
    matcher, train, dev = mixer(), random_pairs(pairs=20), random_pairs(seed=1)
    settings = MatcherSettings(epochs=6, batch_size=10, learning_rate=0.03, warmup_steps=0)
    told: list[Epoch] = []
    training = train_matcher(matcher, train, dev, ROWS, settings, told=told.append)
    assert list(training.curve) == told
    losses = [epoch.dev for epoch in told]
    assert losses.index(min(losses)) + 1 == training.best < 6  # or the last weights would be the best ones
    remaining = score_matcher(matcher, dev, ROWS, seed=settings.seed).cross_entropy.mean()
    assert remaining == pytest.approx(min(losses), abs=1e-6)


def test_the_same_seed_trains_the_same_weights() -> None:
    trained = []
    for seed in (0, 0, 1):
        matcher = equivariant()
        settings = MatcherSettings(epochs=1, batch_size=10, seed=seed)
        train_matcher(matcher, random_pairs(), random_pairs(seed=1), ROWS, settings)
        trained.append(matcher(some_sets()))
    assert (trained[0] == trained[1]).all()
    assert (trained[0] != trained[2]).any()


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_0() -> None:
    shares = [rate_share(step, warmup=4, steps=10) for step in range(10)]
    assert shares == [1 / 4, 2 / 4, 3 / 4, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert rate_share(10, warmup=4, steps=10) == 0
    assert [rate_share(step, warmup=0, steps=2) for step in range(2)] == [1, 1 / 2]
    assert rate_share(1, warmup=500, steps=2) == 2 / 500


def test_a_step_has_the_learning_rate_of_its_place() -> None:
    seen: list[float] = []

    class Watching(nn.Module):
        """Numbers from one weight, which AdamW moves by the learning rate at its first step."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, sets: Tensor) -> Tensor:
            seen.append(float(self.weight.detach()))
            return self.weight * torch.ones(len(sets), ROWS - 1).cumsum(dim=1)

    settings = MatcherSettings(epochs=1, batch_size=4, learning_rate=0.1, warmup_steps=4)
    train_matcher(Watching(), random_pairs(), random_pairs(seed=1), ROWS, settings)
    assert abs(seen[1] - seen[0]) == pytest.approx(0.1 / 4, rel=1e-4)


def test_bf16_trains_too() -> None:
    settings = MatcherSettings(epochs=1, batch_size=10, precision="bf16")
    training = train_matcher(equivariant(), random_pairs(), random_pairs(seed=1), ROWS, settings)
    assert math.isfinite(training.curve[0].dev)


# What cannot be


def test_pairs_that_cannot_be_matched_are_refused() -> None:
    one = torch.ones(1, WIDTH)
    with pytest.raises(InputError, match="1 document: nothing to tell the positive from"):
        EmbeddedPairs(queries=one, documents=one, positives=torch.tensor([0]))
    two = torch.ones(2, WIDTH)
    with pytest.raises(InputError, match="query 0 has no positive: position 2 is none of the 2 documents"):
        EmbeddedPairs(queries=one, documents=two, positives=torch.tensor([2]))
    with pytest.raises(InputError, match="no query"):
        EmbeddedPairs(queries=one[:0], documents=two, positives=torch.tensor([], dtype=torch.long))
    with pytest.raises(MixbenchError, match="the embedding of query 0 has NaN"):
        EmbeddedPairs(queries=one * torch.nan, documents=two, positives=torch.tensor([0]))


def test_a_set_larger_than_the_documents_is_refused() -> None:
    pairs, few = random_pairs(), random_pairs(pairs=4, documents=4)
    message = "a set of 6 rows wants 5 candidates of 4 documents; give at most 5 rows"
    with pytest.raises(InputError, match=message):
        score_matcher(CosineMatcher(), few, ROWS)
    with pytest.raises(InputError, match=message):
        rerank(CosineMatcher(), few, ROWS)
    with pytest.raises(InputError, match=message):
        train_matcher(mixer(), pairs, few, ROWS, MatcherSettings())
    with pytest.raises(InputError, match="a set of 2 rows is the query and 1 candidates"):
        BlockMatcher(UnmaskedBlock, width=WIDTH, rows=2)


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(MixbenchError, match="NaN or infinite numbers; train it with a lower learning rate"):
        score_matcher(lambda sets: torch.full((len(sets), 5), torch.nan), random_pairs(), ROWS)
    broken = mixer()
    nn.init.constant_(broken.to_number.weight, torch.nan)
    with pytest.raises(MixbenchError, match="the matcher's loss is nan"):
        train_matcher(broken, random_pairs(), random_pairs(), ROWS, MatcherSettings(epochs=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0; give at least 1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; give a number above 0"),
        ({"warmup_steps": -1}, "warmup_steps is -1; give 0 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MatcherSettings(**changes)  # type: ignore[arg-type]


def test_other_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(UnknownName, match="unknown precision 'fp8'"):
        MatcherSettings(precision="fp8")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="temperature 0; give a number above 0"):
        CosineMatcher(0)
    with pytest.raises(InputError, match="distance of order 3; give 1 or 2"):
        DistanceMatcher(3)
    with pytest.raises(InputError, match="a matcher of 0 blocks"):
        BlockMatcher(EquivariantBlock, width=WIDTH, rows=ROWS, depth=0)
