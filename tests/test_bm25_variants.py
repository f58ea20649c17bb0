"""The variants of BM25: by hand, beside bm25s and rank-bm25, and bm25s as an engine of our own."""

import importlib.util
import math
import random
import sys
from typing import Any

import numpy as np
import pytest
from rank_bm25 import BM25L

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.systems import LEXICAL, EncoderOptions, open_system
from mixbench.retrievers.bm25 import BM25
from mixbench.retrievers.bm25_variants import FORMULAS

needs_bm25s = pytest.mark.skipif(importlib.util.find_spec("bm25s") is None, reason="bm25s is not installed")
# N = 4 documents of 1, 2, 4 and 1 terms, so that avgdl = 2; "sun" stands in 2 of them, "rain" in 1.
TEXTS = [["sun"], ["sun", "wind"], ["rain", "rain", "wind", "wind"], ["wind"]]
SETTINGS: dict[str, Any] = {"k1": 1.0, "b": 0.5}
BM25S_NAMES = {"bm25plus": "bm25+"}


def indexed(variant: str, texts: list[list[str]], **settings: Any) -> BM25:
    bm25 = BM25(variant=variant, **settings)  # type: ignore[arg-type]
    bm25.index_terms([f"{i:05}" for i in range(len(texts))], texts)
    return bm25


@pytest.mark.parametrize(
    ("variant", "sun", "rain"),
    [
        # norm = 0.5 + 0.5 * dl / 2: 0.75 for the first document, 1 for the second, 1.5 for the third.
        ("lucene", math.log(2) * 1 / 1.75, math.log(1 + 3.5 / 1.5) * 2 / 3.5),
        ("robertson", 0.0, math.log(3.5 / 1.5) * 2 / 3.5),
        ("atire", math.log(2) * 2 / 1.75, math.log(4) * 4 / 3.5),
        # c = 1 / 0.75 and 2 / 1.5, both 4/3; with delta 0.5 they are 11/6.
        ("bm25l", math.log(5 / 2.5) * 2 * (11 / 6) / (17 / 6), math.log(5 / 1.5) * 2 * (11 / 6) / (17 / 6)),
        ("bm25plus", math.log(5 / 2) * (2 / 1.75 + 1), math.log(5) * (4 / 3.5 + 1)),
    ],
)
def test_scores_are_those_worked_out_by_hand(variant: str, sun: float, rain: float) -> None:
    bm25 = indexed(variant, TEXTS, **SETTINGS)

    assert bm25.scores(["sun"])[0] == pytest.approx(sun, abs=1e-12)
    assert bm25.scores(["rain"]).tolist() == pytest.approx([0, 0, rain, 0], abs=1e-12)
    assert bm25.scores(["sun", "rain", "rain"])[2] == pytest.approx(2 * rain, abs=1e-12)


def test_a_term_that_robertson_finds_worthless_still_makes_its_documents_match() -> None:
    ranking = indexed("robertson", TEXTS, **SETTINGS).search_terms(["wind", "rain"], 5)

    assert [doc_id for doc_id, _ in ranking] == ["00002", "00003", "00001"]
    assert [score for _, score in ranking[1:]] == [0.0, 0.0]


def test_delta_lifts_the_documents_that_hold_a_term_and_no_others() -> None:
    for variant in ("bm25l", "bm25plus"):
        without = indexed(variant, TEXTS, delta=0.0).scores(["sun"])
        lifted = indexed(variant, TEXTS, delta=2.0).scores(["sun"])
        assert (lifted[:2] > without[:2]).all()
        assert lifted[2:].tolist() == [0.0, 0.0]


def random_texts(seed: int) -> tuple[list[list[str]], random.Random]:
    rng = random.Random(seed)
    words = [f"w{i}" for i in range(30)]
    chances = [1 / (i + 1) for i in range(30)]
    return [rng.choices(words, chances, k=rng.randint(1, 25)) for _ in range(60)], rng


@needs_bm25s
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("variant", FORMULAS)
def test_scores_are_those_of_bm25s(variant: str, seed: int) -> None:
    import bm25s

    texts, rng = random_texts(seed)
    peer = bm25s.BM25(k1=1.2, b=0.6, delta=0.7, method=BM25S_NAMES.get(variant, variant), dtype="float64")
    peer.index(texts, show_progress=False)
    settings: dict[str, Any] = {"delta": 0.7} if variant in ("bm25l", "bm25plus") else {}
    ours = indexed(variant, texts, k1=1.2, b=0.6, **settings)
    for _ in range(10):
        query = [word for word in rng.choices([f"w{i}" for i in range(30)], k=3) if word in peer.vocab_dict]
        expected = peer.get_scores(query) if query else np.zeros(len(texts))
        if settings:  # bm25s adds for an absent term what the formula gives at a frequency of 0
            absent = {term: peer.nonoccurrence_array[peer.vocab_dict[term]] for term in query}
            for i, text in enumerate(texts):
                expected[i] -= sum(absent[term] for term in query if term not in text)
        assert np.abs(ours.scores(query) - expected).max() < 1e-5


def test_rank_bm25s_bm25l_is_the_papers_times_the_frequency() -> None:
    texts, _ = random_texts(9)
    released = BM25L(texts, k1=1.2, b=0.6, delta=0.7).get_scores(["w0"])
    ours = indexed("bm25l", texts, k1=1.2, b=0.6, delta=0.7).scores(["w0"])
    frequencies = np.array([text.count("w0") for text in texts])

    assert frequencies.max() > 2
    assert released == pytest.approx(ours * frequencies, abs=1e-9)


@pytest.mark.parametrize("name", [*LEXICAL])
def test_every_variant_is_a_model_with_a_recipe_of_its_own(name: str) -> None:
    others = [open_system(other, EncoderOptions()).recipe for other in LEXICAL if other != name]
    opened = open_system(name, EncoderOptions())

    assert opened.name == name
    assert opened.recipe not in others


@needs_bm25s
def test_the_engine_bm25s_ranks_as_our_own_does() -> None:
    texts, rng = random_texts(4)
    corpus = [Document(f"{i:03}", "", " ".join(text)) for i, text in enumerate(texts)]
    corpus.append(Document("999", "", texts[0][0]))
    engine, ours = open_system("bm25s", EncoderOptions()), BM25()
    engine.index(corpus)
    ours.index(corpus)
    queries = [" ".join(rng.choices([f"w{i}" for i in range(40)], k=2)) for _ in range(30)]
    for found, expected in zip(engine.search(queries, 7), ours.search(queries, 7), strict=True):
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-5)
        sure = {round(score, 4) for _, score in expected}
        if len(sure) == len(expected):
            assert [doc_id for doc_id, _ in found] == [doc_id for doc_id, _ in expected]
    assert engine.index_bytes > 0
    assert engine.recipe["engine"] == "bm25s"


@needs_bm25s
def test_the_engine_bm25s_finds_nothing_where_there_is_nothing() -> None:
    engine = open_system("bm25s", EncoderOptions())
    assert engine.search(["apple"], 3) == [[]]
    engine.index([Document("a", "", "the of"), Document("b", "", "")])
    assert engine.search(["apple", ""], 3) == [[], []]
    engine.index([Document("a", "", "apple"), Document("b", "", "apple"), Document("c", "", "pear")])
    assert [doc_id for doc_id, _ in engine.search(["apple unseen"], 3)[0]] == ["b", "a"]
    with pytest.raises(InputError, match="k is 0"):
        engine.search(["apple"], 0)


def test_without_its_package_the_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MixbenchError, match=r"pip install 'mixbench\[bm25s\]'"):
        open_system("bm25s", EncoderOptions())
