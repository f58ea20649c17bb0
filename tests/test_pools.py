"""Pools: drawn ones agree with the exact probability, and every system goes through one path."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.evaluation import score_queries
from mixbench.interop.trec import Run
from mixbench.probes.pools import exact_top1, score_pools
from mixbench.probes.ranks import beaten_by, rank_scores
from mixbench.probes.scorers import EmbeddingScorer, RankingScorer, sign_binarised
from mixbench.retrievers.bm25 import BM25
from mixbench.retrievers.run import RunRetriever


class GivenScores:
    """Scores that are written down: a scorer."""

    def __init__(self, scores: list[list[float]]) -> None:
        self.given = torch.tensor(scores)
        self.queries, self.documents = self.given.shape

    def block(self, start: int, stop: int) -> Tensor:
        return self.given[start:stop]


def random_scorer(queries: int = 12, documents: int = 20, seed: int = 0) -> EmbeddingScorer:
    generator = torch.Generator().manual_seed(seed)
    return EmbeddingScorer(
        torch.randn(queries, 4, generator=generator), torch.randn(documents, 4, generator=generator)
    )


def positives(*positions: int) -> Tensor:
    return torch.tensor(positions)


FIRST_OF_20 = torch.arange(12)


# The exact form


def test_the_exact_form_is_the_share_of_all_pools_in_which_nothing_beats_the_positive() -> None:
    documents = 8
    for rank in range(1, documents + 1):
        others = range(1, documents)  # as they rank, without the positive: the first rank - 1 beat it
        for n in range(3, documents + 2):
            pools = list(combinations(others, n - 2))
            won = sum(all(place >= rank for place in pool) for pool in pools)
            found = exact_top1(np.array([rank]), documents, [n])[0, 0]
            assert found == pytest.approx(float(Fraction(won, len(pools))), abs=1e-15)


def test_the_exact_form_is_exact_for_the_papers_pools_too() -> None:
    documents, rank, pools = 20_000, 6, (32, 1024, 8192)
    wanted = [math.comb(documents - rank, n - 2) / Fraction(math.comb(documents - 1, n - 2)) for n in pools]
    assert exact_top1(np.array([rank]), documents, pools)[0] == pytest.approx(
        [float(p) for p in wanted], rel=1e-12
    )


def test_a_pool_of_all_documents_is_won_by_rank_1_alone() -> None:
    assert exact_top1(np.array([1, 2, 5]), 5, [6])[:, 0].tolist() == [1.0, 0.0, 0.0]


def test_drawn_pools_agree_with_the_exact_form_within_four_standard_errors() -> None:
    found = score_pools(random_scorer(), FIRST_OF_20, (3, 5, 9, 15), seeds=range(2_000))
    exact = found.exact
    assert ((exact > 0.05) & (exact < 0.95)).sum() >= 20  # or there would be little to see
    error = np.sqrt(exact * (1 - exact) / 2_000)
    assert np.all(np.abs(found.drawn.mean(axis=0) - exact) <= 4 * error + 1e-9)


# Drawing


def test_a_seed_draws_the_same_pools_again_and_another_seed_others() -> None:
    once, again = (score_pools(random_scorer(), FIRST_OF_20, (5,), seeds=(3, 4)).drawn for _ in range(2))
    assert (once == again).all()
    assert (once[0] != once[1]).any()


def test_the_blocks_of_bounded_memory_give_what_one_block_gives() -> None:
    whole = score_pools(random_scorer(), FIRST_OF_20, (3, 9), seeds=(0, 1))
    for cells in (1, 20, 70):  # one query, one query, three queries at once
        blocks = score_pools(random_scorer(), FIRST_OF_20, (3, 9), seeds=(0, 1), block_cells=cells)
        assert (blocks.ranks == whole.ranks).all()
        assert (blocks.drawn == whole.drawn).all()


def test_without_seeds_nothing_is_drawn() -> None:
    found = score_pools(random_scorer(), FIRST_OF_20, (3, 9), seeds=())
    assert found.drawn.shape == (0, 12, 2)
    assert found.exact.shape == (12, 2)


# Ranks


def test_of_equal_scores_the_lower_position_stands_before() -> None:
    scores = torch.tensor([[0.5, 1.0, 1.0, 1.0]])
    assert beaten_by(scores, positives(2)).tolist() == [[False, True, False, False]]


def test_a_positive_that_is_not_ranked_stands_behind_all_others() -> None:
    scores = torch.tensor([[-torch.inf, -torch.inf, 0.0]])
    assert beaten_by(scores, positives(0)).tolist() == [[False, True, True]]
    assert beaten_by(scores, positives(2)).tolist() == [[False, False, False]]


def test_scores_that_tell_nothing_apart_win_no_more_than_chance() -> None:
    documents = 50
    found = score_pools(GivenScores([[1.0] * documents] * documents), torch.arange(documents), (11,))
    assert found.exact.mean() == pytest.approx(1 / 10, abs=1e-12)


def test_scores_of_ranks_are_those_of_trec_eval() -> None:
    ranks = np.array([1, 2, 10, 11, 40])
    ids = [f"d{place:02}" for place in range(50)]
    ranking = [(doc_id, float(-place)) for place, doc_id in enumerate(ids)]
    theirs = score_queries(
        {f"q{rank}": {ids[rank - 1]: 1} for rank in ranks}, {f"q{rank}": ranking for rank in ranks}
    )
    ours = rank_scores(ranks)
    for metric in ("mrr_at_10", "ndcg_at_10"):
        assert ours[metric] == pytest.approx(list(theirs[metric].values()), abs=1e-9)
    assert ours["top1"].tolist() == [1, 0, 0, 0, 0]


# Scorers

TEXTS = ["red fox", "blue whale", "red kite", "grey seal", "red deer"]
CORPUS = [Document(f"d{number}", "", text) for number, text in enumerate(TEXTS)][::-1]
DOC_IDS = [document.doc_id for document in CORPUS]
QUERIES = {"a": "blue whale", "b": "red", "c": "green"}


def test_bm25_and_embeddings_go_through_the_same_path() -> None:
    bm25 = BM25()
    bm25.index(CORPUS)
    words = sorted({word for text in TEXTS for word in text.split()})
    counts = {text: [float(word in text.split()) for word in words] for text in (*TEXTS, *QUERIES.values())}
    dense = EmbeddingScorer(
        torch.tensor([counts[text] for text in QUERIES.values()]),
        torch.tensor([counts[document.text] for document in CORPUS]),
        similarity="dot",
    )
    wanted = positives(*(DOC_IDS.index(doc_id) for doc_id in ("d1", "d0", "d3")))
    by_words = score_pools(RankingScorer(bm25, QUERIES, DOC_IDS), wanted, (3, 6), block_cells=1)
    by_vectors = score_pools(dense, wanted, (3, 6), block_cells=1)
    # "red" is in d4, d2 and d0, which tie; BM25 ranks nothing for "green", whose embedding ties with all.
    assert by_words.ranks.tolist() == [1, 3, 5]
    assert by_vectors.ranks.tolist() == [1, 3, 2]


def test_a_stored_run_is_asked_by_the_ids_of_its_queries() -> None:
    run = RunRetriever(
        Run(tag="them", rankings={"a": [("d1", 2.0), ("d0", 1.0)], "b": [("d4", 1.0)]}), name="x"
    )
    found = RankingScorer(run, QUERIES, DOC_IDS).block(0, 3)
    minus = -math.inf
    assert found.tolist() == [[minus, minus, minus, 2.0, 1.0], [1.0, minus, minus, minus, minus], [minus] * 5]


def test_a_ranking_of_another_corpus_is_refused() -> None:
    run = RunRetriever(Run(tag="them", rankings={"a": [("d9", 1.0)]}), name="theirs")
    with pytest.raises(MixbenchError, match="'theirs' ranks document 'd9', which is not in the corpus"):
        RankingScorer(run, QUERIES, DOC_IDS).block(0, 1)


def test_cosine_ignores_length_and_dot_does_not() -> None:
    queries, documents = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0], [3.0, 4.0]])
    assert EmbeddingScorer(queries, documents).block(0, 1)[0].tolist() == pytest.approx([1.0, 0.6])
    assert EmbeddingScorer(queries, documents, similarity="dot").block(0, 1).tolist() == [[2.0, 3.0]]


def test_sign_binarised_keeps_the_sign_of_each_number_alone() -> None:
    assert sign_binarised(torch.tensor([[0.3, -2.0, 0.0]])).tolist() == [[1.0, -1.0, 0.0]]
    # The two documents have the query's signs; only the first is like it.
    query, documents = torch.tensor([[9.0, 1.0]]), torch.tensor([[1.0, 9.0], [9.0, 1.0]])
    assert score_pools(EmbeddingScorer(query, documents), positives(1), (3,)).ranks.tolist() == [1]
    signs = EmbeddingScorer(sign_binarised(query), sign_binarised(documents))
    assert score_pools(signs, positives(1), (3,)).ranks.tolist() == [2]


# What cannot be scored


def test_a_pool_that_the_documents_do_not_fill_is_refused() -> None:
    with pytest.raises(
        InputError, match="a pool of 22 is the query and 21 of 20 documents; give a size from 3 to 21"
    ):
        score_pools(random_scorer(), FIRST_OF_20, (3, 22))
    with pytest.raises(InputError, match="a pool of 2 is the query and 1 of 20"):
        score_pools(random_scorer(), FIRST_OF_20, (2,))
    with pytest.raises(InputError, match="no pool size; give at least one"):
        score_pools(random_scorer(), FIRST_OF_20, ())


def test_a_query_without_a_positive_and_a_lone_document_are_refused() -> None:
    with pytest.raises(InputError, match="query 1 has no positive: position 20 is none of the 20 documents"):
        score_pools(random_scorer(queries=2), positives(0, 20), (3,))
    with pytest.raises(InputError, match="12 queries and positives of shape"):
        score_pools(random_scorer(), positives(0), (3,))
    with pytest.raises(InputError, match="1 document: nothing to tell the positive from"):
        score_pools(random_scorer(documents=1), FIRST_OF_20, (3,))


def test_embeddings_that_cannot_be_compared_are_refused() -> None:
    good = torch.ones(2, 3)
    with pytest.raises(MixbenchError, match="the embedding of document 1 has NaN or infinite values"):
        EmbeddingScorer(good, torch.tensor([[1.0, 1, 1], [1, torch.nan, 1]]))
    with pytest.raises(InputError, match=r"embeddings of shapes \(2, 3\) and \(2, 4\)"):
        EmbeddingScorer(good, torch.ones(2, 4))
    with pytest.raises(InputError, match="similarity 'l2'; give 'cosine' or 'dot'"):
        EmbeddingScorer(good, good, similarity="l2")


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(MixbenchError, match="the scores of query 1 of a block hold NaN"):
        score_pools(GivenScores([[1.0, 0.0], [math.nan, 0.0]]), positives(0, 1), (3,))
