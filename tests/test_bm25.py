"""BM25: rank-bm25's scores bit for bit, Lucene's formula and English, Anserini's figures."""

import csv
import json
import math
import random
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import pytrec_eval
from rank_bm25 import BM25Okapi

from mixbench.data import Document
from mixbench.errors import InputError, UnknownName
from mixbench.retrievers.bm25 import BM25
from mixbench.retrievers.bm25_variants import Variant
from mixbench.retrievers.postings import best_scores


def documents(*texts: str) -> list[Document]:
    return [Document(f"d{i}", "", text) for i, text in enumerate(texts)]


def read(folder: Path) -> tuple[list[Document], dict[str, str], dict[str, dict[str, int]]]:
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    corpus = [Document(row["_id"], row.get("title", ""), row["text"]) for row in rows]
    qrels: dict[str, dict[str, int]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        texts = {row["_id"]: row["text"] for row in map(json.loads, lines)}
    return corpus, {query_id: texts[query_id] for query_id in qrels}, qrels


# Scores


@pytest.mark.parametrize("seed", range(30))
def test_okapi_scores_equal_rank_bm25_bit_for_bit_on_random_corpora(seed: int) -> None:
    rng = random.Random(seed)
    words = [f"w{i}" for i in range(rng.choice([3, 12, 60]))]
    chances = [1 / (i + 1) for i in range(len(words))]  # the first stand in most texts: negative idf
    texts = [rng.choices(words, chances, k=rng.randint(1, 20)) for _ in range(rng.randint(1, 60))]
    texts += [list(texts[0]), []]
    k1, b = rng.choice([(0.9, 0.4), (1.5, 0.75), (2.0, 0.0)])
    ours = BM25(k1=k1, b=b, variant="okapi")
    doc_ids = [str(i) for i in range(len(texts))]
    rng.shuffle(doc_ids)
    ours.index_terms(doc_ids, texts)
    peer = BM25Okapi(texts, k1=k1, b=b)
    for _ in range(10):
        query = [*rng.choices(words, k=rng.randint(0, 6)), "unseen"] * rng.randint(1, 2)
        assert ours.scores(query).tobytes() == peer.get_scores(query).tobytes()


def test_the_random_corpora_hold_words_whose_idf_rank_bm25_replaces() -> None:
    texts = [["w0", f"w{i}"] for i in range(1, 12)]
    okapi = BM25Okapi(texts)
    assert okapi.idf["w0"] == 0.25 * okapi.average_idf
    ours = BM25(k1=1.5, b=0.75, variant="okapi")
    ours.index_terms([str(i) for i in range(len(texts))], texts)
    assert ours.scores(["w0", "w0", "w3"]).tobytes() == okapi.get_scores(["w0", "w0", "w3"]).tobytes()


def test_lucene_scores_are_those_worked_out_by_hand() -> None:
    bm25 = BM25()
    bm25.index(documents("red red fish", "red", "blue bird sings loudly"))
    mean = (3 + 1 + 4) / 3
    red = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    fish = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    norms = [0.9 * (1 - 0.4 + 0.4 * length / mean) for length in (3, 1, 4)]
    first = red * 2 / (2 + norms[0]) + fish * 1 / (1 + norms[0])
    assert bm25.scores(["red", "fish"]).tolist() == pytest.approx([first, red / (1 + norms[1]), 0], rel=1e-15)
    assert bm25.scores(["red", "red"])[1] == 2 * bm25.scores(["red"])[1]


def test_scores_keep_the_order_of_the_corpus() -> None:
    bm25 = BM25()
    bm25.index([Document("b", "", "cat"), Document("c", "", "dog"), Document("a", "", "owl")])
    assert np.flatnonzero(bm25.scores(["dog"])).tolist() == [1]


def test_a_word_in_most_documents_scores_as_it_does_when_it_is_stored_like_a_rare_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(0)
    texts = [rng.choices("abcdefgh", [9, 5, 3, 1, 1, 1, 1, 1], k=9) for _ in range(80)]
    scores = []
    for share in (0.0, 2.0):
        monkeypatch.setattr("mixbench.retrievers.postings.DENSE_SHARE", share)
        bm25 = BM25()
        bm25.index_terms([str(i) for i in range(80)], texts)
        scores.append((bm25.scores(list("abcaz")).tobytes(), bm25.search_terms(list("abcaz"), 20)))
    assert scores[0] == scores[1]


# Rankings


def test_titles_are_searched_too() -> None:
    bm25 = BM25()
    bm25.index([Document("a", "Whales", "They sing."), Document("b", "Trees", "They stand.")])
    assert [doc_id for doc_id, _ in bm25.search(["whale"], 10)[0]] == ["a"]


def test_equal_scores_rank_by_descending_doc_id_as_text() -> None:
    bm25 = BM25()
    bm25.index([Document(doc_id, "", "same words") for doc_id in ("2", "10", "9", "1")])
    assert [doc_id for doc_id, _ in bm25.search(["words"], 3)[0]] == ["9", "2", "10"]


@pytest.mark.parametrize("documents", [10, 2000])
def test_scores_that_differ_less_than_float32_can_tell_are_ties(documents: int) -> None:
    scores = np.zeros(documents)
    scores[[3, 8]] = 1.0, 1.0 + 1e-12
    assert best_scores(scores, 1)[0].tolist() == [3]
    assert best_scores(scores, 4, above=0.0)[0].tolist() == [3, 8]
    assert best_scores(-scores - 1, documents)[0].tolist()[-2:] == [3, 8]


def test_only_documents_with_a_term_of_the_query_are_returned() -> None:
    bm25 = BM25()
    bm25.index(documents("apple pie", "plum cake", "apple cake"))
    assert {doc_id for doc_id, _ in bm25.search(["apple"], 10)[0]} == {"d0", "d2"}


def test_okapi_returns_matches_whose_score_is_zero_or_negative() -> None:
    half = BM25(variant="okapi")
    half.index(documents("apple", "plum"))  # df = N / 2: an idf of exactly 0
    assert half.search(["apple"], 10) == [[("d0", 0.0)]]
    both = BM25(variant="okapi")
    both.index(documents(*["plum"] * 2, "plum apple", *["apple"] * 3, *["pear"] * 2))  # df 3 and 4 of 8
    assert {doc_id for doc_id, _ in both.search(["plum apple"], 10)[0]} == {
        "d0",
        "d1",
        "d2",
        "d3",
        "d4",
        "d5",
    }
    every = BM25(variant="okapi")
    every.index(documents("apple apple", "apple"))  # the mean idf is negative, and so is its share
    ranking = every.search(["apple"], 10)[0]
    assert [doc_id for doc_id, _ in ranking] == ["d1", "d0"]
    assert all(score < 0 for _, score in ranking)


@pytest.mark.parametrize("variant", get_args(Variant))
def test_the_best_k_are_the_head_of_a_full_sort(variant: Variant) -> None:
    rng = random.Random(3)
    words = [f"w{i}" for i in range(40)]
    texts = [rng.choices(words, [1 / (i + 1) for i in range(40)], k=rng.randint(0, 6)) for _ in range(900)]
    doc_ids = [f"{i:03}" for i in range(900)]
    bm25 = BM25(variant=variant)
    bm25.index_terms(doc_ids, texts)
    for k in (1, 5, 50, 2000):  # 900 documents: many piles, few, none
        for query in (["w0", "w7"], ["w39"], ["w3", "w3", "w20", "w21"]):
            scores = bm25.scores(query).astype(np.float32).tolist()
            matches = [i for i in range(900) if set(query) & set(texts[i])]
            expected = sorted(((scores[i], doc_ids[i]) for i in matches), reverse=True)[:k]
            assert bm25.search_terms(query, k) == [(doc_id, score) for score, doc_id in expected]


def test_a_query_without_terms_has_an_empty_ranking() -> None:
    bm25 = BM25()
    bm25.index(documents("apple"))
    assert bm25.search(["", "the and of", "?!", "unseen"], 5) == [[], [], [], []]


@pytest.mark.parametrize("variant", get_args(Variant))
@pytest.mark.parametrize("texts", [(), ("",), ("", "the", "?!")])
def test_a_corpus_without_terms_finds_nothing(variant: Variant, texts: tuple[str, ...]) -> None:
    bm25 = BM25(variant=variant)
    bm25.index(documents(*texts))
    assert bm25.search(["apple"], 5) == [[]]
    assert bm25.scores(["apple"]).tolist() == [0.0] * len(texts)


def test_indexing_again_forgets_the_former_corpus() -> None:
    bm25 = BM25()
    bm25.index(documents("apple", "apple"))
    before = bm25.index_bytes
    bm25.index(documents("plum"))
    assert bm25.search(["apple", "plum"], 5)[0] == []
    assert 0 < bm25.index_bytes < before + 1000


def test_the_recipe_holds_every_setting() -> None:
    recipe = BM25(k1=1.2, b=0.75, variant="okapi", analyser="german").recipe
    assert {name: recipe[name] for name in ("fields", "analyser", "k1", "b", "variant", "engine")} == {
        "fields": ["title", "text"],
        "analyser": "german",
        "k1": 1.2,
        "b": 0.75,
        "variant": "okapi",
        "engine": "mixbench postings",
    }
    assert set(recipe["versions"]) == {"PyStemmer", "regex", "rank-bm25"}
    assert set(BM25().recipe["versions"]) == {"PyStemmer", "regex"}
    json.dumps(recipe)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k1": 0.0}, "k1 is 0.0; give a number above 0"),
        ({"k1": math.nan}, "k1 is nan; give a number above 0"),
        ({"b": 1.5}, "b is 1.5; give a number from 0 to 1"),
        ({"delta": 0.5}, "delta is 0.5; give 0 or more, and that to bm25l or bm25plus"),
        ({"delta": -1.0, "variant": "bm25l"}, "delta is -1.0; give 0 or more"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BM25(**settings)


def test_unknown_names_and_no_documents_asked_for_are_refused() -> None:
    with pytest.raises(UnknownName, match="unknown BM25 variant 'okapy'; did you mean 'okapi'"):
        BM25(variant="okapy")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="unknown analyser 'englsh'; did you mean 'english'"):
        BM25(analyser="englsh")
    with pytest.raises(InputError, match="k is 0; ask for at least 1"):
        BM25().search(["apple"], 0)


# Real data


@pytest.mark.parametrize(("name", "anserini"), [("nfcorpus", 0.3218), ("scifact", 0.6789)])
def test_the_default_is_within_003_of_anserini(shared_data: Path, name: str, anserini: float) -> None:
    corpus, queries, qrels = read(shared_data / name)
    bm25 = BM25()
    bm25.index(corpus)
    rankings = bm25.search(list(queries.values()), 100)
    run = {query_id: dict(ranking) for query_id, ranking in zip(queries, rankings, strict=True)}
    scores = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    ndcg = sum(score["ndcg_cut_10"] for score in scores.values()) / len(qrels)
    assert ndcg == pytest.approx(anserini, abs=0.003)


def test_okapi_equals_rank_bm25_bit_for_bit_for_every_nfcorpus_query(shared_data: Path) -> None:
    corpus, queries, _ = read(shared_data / "nfcorpus")
    ours = BM25(variant="okapi")
    ours.index(corpus)
    peer = BM25Okapi([ours.analyser(doc.content) for doc in corpus], k1=ours.k1, b=ours.b)
    assert len(queries) == 323
    for query in queries.values():
        terms = ours.analyser(query)
        assert ours.scores(terms).tobytes() == peer.get_scores(terms).tobytes()
