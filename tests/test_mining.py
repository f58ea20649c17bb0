"""Hard negatives: which candidates are kept, which are dropped, and whose scores decide."""

from collections.abc import Sequence

import pytest
from word_overlap import WordOverlap

from mixbench.data.pairs import Pairs
from mixbench.errors import InputError, MixbenchError
from mixbench.retrievers import Ranking
from mixbench.training.negatives import (
    Candidates,
    MiningConfig,
    PairCollection,
    merge_in_turn,
    score_limit,
)

ALL = MiningConfig(relative=1)
PAIRS = Pairs(
    "toy",
    ["red big cat", "Red  big CAT", "green dog", "blue", "a cat"],
    ["red big cat sleeps", "a big cat", "green dog barks", "blue sea, red cat", "A  cat"],
)
"""Words shared with "red big cat": 3, 2, 0, 2 (not "sea,") and 1. Its second spelling is the same query."""


def mined(config: MiningConfig, pairs: Pairs = PAIRS, retriever: WordOverlap | None = None) -> Candidates:
    return PairCollection(pairs).search(retriever or WordOverlap(), config)


def texts(found: Candidates, position: int, pairs: Pairs = PAIRS) -> list[str]:
    return [PairCollection(pairs).texts[number] for number in found.found[position]]


class Negated(WordOverlap):
    """Word overlap from which 4 is taken away: the order stays, the scores are below 0."""

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        return [[(doc_id, score - 4) for doc_id, score in found] for found in super().search(queries, k)]


def test_neither_a_positive_of_the_query_nor_the_query_itself_is_a_negative() -> None:
    found = mined(ALL)
    assert texts(found, 0) == ["blue sea, red cat", "A  cat"]
    # The second spelling's positive shares 2 words, no more than the first candidate: that one may stay.
    assert texts(found, 1) == ["blue sea, red cat", "A  cat"]


def test_a_query_that_is_a_text_of_the_corpus_does_not_find_itself() -> None:
    pairs = Pairs("same", ["one two", "three", "four"], ["one two three", "One  TWO", "one four"])
    found = mined(ALL, pairs)
    assert found.found == [[2], [], []]
    assert texts(found, 0, pairs) == ["one four"]


@pytest.mark.parametrize(
    ("relative", "kept", "dropped"), [(1, [1, 2, 3], 0), (0.75, [1, 2, 3], 0), (0.7, [2, 3], 1), (0.2, [], 3)]
)
def test_what_scores_above_the_share_of_the_positive_is_dropped(
    relative: float, kept: list[int], dropped: int
) -> None:
    pairs = Pairs("share", ["a b c d", "x", "y", "z"], ["a b c d e", "a b c x", "a b y", "a z"])
    found = mined(MiningConfig(relative=relative), pairs)
    assert (found.found[0], found.too_high, found.known) == (kept, dropped, 4)


def test_the_limit_is_below_a_positive_whatever_its_sign() -> None:
    assert [score_limit(score, 0.75) for score in (4.0, 0.0, -4.0, None)] == [3, 0, -5, float("-inf")]


def test_scores_below_zero_are_filtered_below_the_positive() -> None:
    pairs = Pairs("share", ["a b c", "x", "y"], ["a b c e", "a b x", "a y"])  # -1; candidates -2 and -3
    assert mined(MiningConfig(relative=0.95), pairs, Negated()).found[0] == [1, 2]
    assert mined(MiningConfig(relative=0.5), pairs, Negated()).found[0] == [1, 2]
    assert mined(MiningConfig(relative=0.001), pairs, Negated()).found[0] == [1, 2]
    deeper = Pairs("share", ["a b c", "x", "y"], ["a b e", "a x", "a b c y"])  # -2; candidates -3 and -1
    found = mined(MiningConfig(relative=0.95), deeper, Negated())
    assert (found.found[0], found.too_high) == ([1], 1)
    assert mined(MiningConfig(relative=0.25), deeper, Negated()).found[0] == []  # the limit is -3.5


def test_where_the_positive_is_below_the_depth_every_candidate_is_dropped() -> None:
    pairs = Pairs("far", ["a b", "x", "y"], ["a", "a b x", "a b y"])
    found = mined(MiningConfig(depth=2), pairs)
    assert (found.found[0], found.too_high, found.known) == ([], 2, 2)


def test_ranks_are_skipped_positives_counted_and_depth_ends_them() -> None:
    pairs = Pairs("ranks", ["a b c d", "x", "y", "z"], ["a b c d e", "a b c x", "a b y", "a z"])
    kept = {
        (skip, depth): mined(MiningConfig(skip=skip, depth=depth), pairs).found[0]
        for skip, depth in [(0, 4), (1, 4), (2, 4), (3, 4), (0, 3), (1, 2)]
    }
    assert kept == {
        (0, 4): [1, 2, 3],
        (1, 4): [1, 2, 3],
        (2, 4): [2, 3],
        (3, 4): [3],
        (0, 3): [1, 2],
        (1, 2): [1],
    }


def test_no_more_negatives_than_asked_for_are_kept_the_best_first() -> None:
    pairs = Pairs("ranks", ["a b c d", "x", "y", "z"], ["a b c d e", "a b c x", "a b y", "a z"])
    assert mined(MiningConfig(negatives=2), pairs).found[0] == [1, 2]


def test_each_positive_of_a_query_has_its_own_limit() -> None:
    pairs = Pairs("two", ["a b c", "a b c", "x"], ["a b c one", "a two", "a b x"])
    found = mined(MiningConfig(), pairs)
    assert (found.found[0], found.found[1]) == ([2], [])


def test_systems_give_their_candidates_in_turn_each_text_once() -> None:
    assert merge_in_turn([[1, 2, 3, 4], [3, 5], []], 9) == [1, 3, 2, 5, 4]
    assert merge_in_turn([[1, 2, 3, 4], [3, 5], []], 3) == [1, 3, 2]
    assert merge_in_turn([[], []], 3) == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"negatives": 0}, "negatives is 0"),
        ({"skip": 50}, "skip is 50 and depth 50"),
        ({"skip": -1}, "skip is -1"),
        ({"relative": 0}, "relative is 0"),
        ({"relative": 1.01}, "relative is 1.01"),
        ({"relative": float("nan")}, "relative is nan"),
    ],
)
def test_settings_that_cannot_mine_are_refused(settings: dict[str, float], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        MiningConfig(**settings)  # type: ignore[arg-type]


def test_a_score_that_is_no_number_is_blamed_on_its_retriever() -> None:
    with pytest.raises(MixbenchError, match="'broken' scores document '0000000"):
        mined(ALL, retriever=WordOverlap("broken", weight=float("nan")))
