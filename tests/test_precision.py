"""Truncated and quantised embeddings: worked out by hand, as sentence-transformers has them, and small."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import quantize_embeddings
from tokenizers import Tokenizer, models, pre_tokenizers

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.experiments.systems import EncoderOptions, minilm_folder, open_system
from mixbench.results import find_results, revision_of
from mixbench.retrievers import precision as precisions
from mixbench.retrievers.dense import DenseRetriever
from mixbench.retrievers.embeddings import EmbeddingIndex
from mixbench.retrievers.mteb_model import MtebRetriever

ROOT = Path(__file__).parents[1]
VECTORS = {"a": [0.0, 4.0], "b": [255.0, 4.0], "c": [100.5, 4.0], "query": [1.0, 0.5], "minus": [-1.0, 0.0]}


def encoder(vectors: dict[str, list[float]]) -> Callable[[list[str]], torch.Tensor]:
    return lambda texts: torch.tensor([vectors[text] for text in texts])


def index(
    vectors: dict[str, list[float]], names: str, similarity: str = "dot", **settings: object
) -> EmbeddingIndex:
    """An index of the documents whose ids and texts are the letters of `names`."""
    made = EmbeddingIndex("tiny", similarity, settings.pop("chunk_size", 100), **settings)
    encode = encoder(vectors)
    made.fill([Document(name, "", name) for name in names], lambda some: encode([each.text for each in some]))
    return made


def scores(made: EmbeddingIndex, vectors: dict[str, list[float]], query: str = "query") -> dict[str, float]:
    return dict(made.search([query], 100, encoder(vectors))[0])


def random_vectors(count: int, dimension: int, seed: int = 0) -> dict[str, list[float]]:
    torch.manual_seed(seed)
    return {chr(97 + number): row for number, row in enumerate(torch.randn(count, dimension).tolist())}


# int8


def test_int8_codes_stand_for_the_lower_ends_of_255_steps_over_the_range_of_the_corpus() -> None:
    # The first dimension has steps of 1, and 100.5 is in the one from 100. The second does not vary.
    made = index(VECTORS, "abc", precision="int8")
    assert scores(made, VECTORS) == {"a": 0.0 + 2.0, "b": 255.0 + 2.0, "c": 100.0 + 2.0}
    assert scores(made, VECTORS, "minus") == {"a": 0.0, "b": -255.0, "c": -100.0}


def test_one_document_is_exact_as_int8() -> None:
    assert scores(index(VECTORS, "c", precision="int8"), VECTORS) == {"c": 102.5}


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
@pytest.mark.parametrize("kept", [0, 2**28])
def test_int8_codes_are_those_of_sentence_transformers_whatever_the_chunks_and_wherever_they_wait(
    chunk_size: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precisions, "KEPT_IN_MEMORY", kept)
    vectors = random_vectors(20, 7)
    names = "".join(vectors)
    made = index(vectors, names, precision="int8", chunk_size=chunk_size)
    corpus = np.array(list(vectors.values()), dtype=np.float32)
    codes = quantize_embeddings(corpus, "int8").astype(np.float64)
    low, high = corpus.min(axis=0), corpus.max(axis=0)
    query = np.array([1.0, -2.0, 3.0, 0.5, 0.25, -1.0, 2.0])
    expected = ((codes + 128) * ((high - low) / 255) + low) @ query
    found = scores(made, {"query": query.tolist()})
    assert [found[name] for name in names] == pytest.approx(expected.tolist(), abs=1e-5)


def test_with_cosine_the_documents_are_normalised_before_they_are_quantised() -> None:
    vectors = {"a": [3.0, 4.0], "b": [0.0, 1.0], "query": [2.0, 0.0]}
    found = scores(index(vectors, "ab", "cosine", precision="int8"), vectors)
    assert found == pytest.approx({"a": 0.6, "b": 0.0}, abs=0.6 / 255)


# binary


def test_binary_embeddings_are_signs_scored_against_the_float_query() -> None:
    vectors = {
        "a": [9.0, -1.0, 0.1],
        "b": [-1.0, -2.0, -3.0],
        "c": [0.0, 1.0, 0.0],
        "query": [1.0, 10.0, -100.0],
    }
    found = scores(index(vectors, "abc", precision="binary"), vectors)
    assert found == {"a": 1 - 10 - 100, "b": -1 - 10 + 100, "c": -1 + 10 + 100}


@pytest.mark.parametrize("dimension", [1, 7, 8, 9, 20])
@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_bits_are_those_of_sentence_transformers_at_every_dimension(dimension: int, chunk_size: int) -> None:
    vectors = random_vectors(10, dimension)
    made = index(vectors, "".join(vectors), precision="binary", chunk_size=chunk_size)
    packed = quantize_embeddings(np.array(list(vectors.values()), dtype=np.float32), "ubinary")
    signs = 2.0 * np.unpackbits(packed, axis=1)[:, :dimension] - 1
    for place in range(dimension):
        one_hot = [float(number == place) for number in range(dimension)]
        found = scores(made, {"query": one_hot})
        assert [found[name] for name in vectors] == signs[:, place].tolist()


def test_documents_with_the_same_signs_tie_and_rank_by_descending_doc_id() -> None:
    vectors = {"a": [1.0, 2.0], "b": [5.0, 5.0], "c": [3.0, 0.1], "query": [1.0, 1.0]}
    ranking = index(vectors, "bca", "cosine", precision="binary").search(["query"], 3, encoder(vectors))[0]
    assert [doc_id for doc_id, _ in ranking] == ["c", "b", "a"]


# Sizes


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("float32", 500 * 20 * 4), ("int8", 500 * 20 + 2 * 20 * 4), ("binary", 500 * 3)],
)
def test_an_index_holds_no_more_than_it_says(precision: str, expected: int) -> None:
    made = EmbeddingIndex("tiny", "cosine", 64, precision=precision)
    assert made.nbytes == 0
    torch.manual_seed(0)
    made.fill([Document("", "", "")] * 500, lambda some: torch.randn(len(some), 20))
    assert made.nbytes == expected
    # All that the index holds, the one document that it holds 500 times included.
    assert expected < len(pickle.dumps(made)) < expected + 5_000


# Truncation


def word_model(vectors: dict[str, list[float]], **settings: object) -> SentenceTransformer:
    words = {word: number for number, word in enumerate(vectors)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = np.array(list(vectors.values()), dtype=np.float32)
    return SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu", **settings
    )


def dense(model: SentenceTransformer, **settings: object) -> DenseRetriever:
    return DenseRetriever(model, name="tiny", model_sha256="0" * 64, **settings)


def dense_scores(retriever: DenseRetriever) -> dict[str, float]:
    retriever.index([Document(name, "", name) for name in "abc"])
    return dict(retriever.search(["query"], 3)[0])


@pytest.mark.parametrize("precision", ["float32", "int8", "binary"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_truncated_embeddings_are_the_first_dimensions_normalised_again_for_the_cosine(
    similarity: str, precision: str
) -> None:
    vectors = dict(zip(["a", "b", "c", "query"], random_vectors(4, 9).values(), strict=True))
    cut = {name: vector[:5] for name, vector in vectors.items()}
    settings = {"similarity": similarity, "precision": precision}
    truncated = dense(word_model(vectors), truncate_dim=5, **settings)
    assert dense_scores(truncated) == dense_scores(dense(word_model(cut), **settings))
    if precision == "float32":
        a, query = (torch.tensor(cut[name]) for name in ("a", "query"))
        whole = torch.cosine_similarity(a, query, dim=0) if similarity == "cosine" else a @ query
        assert dense_scores(truncated)["a"] == pytest.approx(float(whole), abs=1e-6)
    assert truncated.index_bytes == dense_bytes(precision, 3, 5)


def dense_bytes(precision: str, count: int, dimension: int) -> int:
    return {"float32": 4 * count * dimension, "int8": (count + 8) * dimension, "binary": count}[precision]


def test_dimensions_that_an_embedding_does_not_have_are_refused_before_any_work() -> None:
    model = word_model(VECTORS)
    for number in (0, 3):
        with pytest.raises(InputError, match=f"{number} dimensions of model 'tiny': .* at most 2, its dim"):
            dense(model, truncate_dim=number)
    assert dense(model, truncate_dim=2).recipe["truncate_dim"] == 2
    with pytest.raises(InputError, match=r"2 dimensions of model 'tiny': .* at most 1"):
        dense(word_model(VECTORS, truncate_dim=1), truncate_dim=2)


# Identity


def test_every_option_changes_the_revision_and_none_of_them_leaves_it_as_it_was() -> None:
    changes: list[dict[str, object]] = [
        {},
        {"similarity": "dot"},
        {"truncate_dim": 8},
        {"precision": "int8"},
        {"precision": "binary"},
        {"precision": "int8", "truncate_dim": 8},
        {"dtype": "bfloat16"},
        {"dtype": "float16"},
        {"query_prompt": "find: "},
        {"query_prompt": "{instruction}: "},
        {"query_prompt": "{instruction}: ", "instruction": "seek"},
        {"document_prompt": "read: "},
        {"max_length": 5},
    ]
    systems = [open_system("tiny", EncoderOptions(**change)) for change in changes]
    assert len({revision_of(system.recipe) for system in systems}) == len(changes)
    keys = "kind model_sha256 similarity query_prompt document_prompt max_length truncate_dim dtype"
    assert set(systems[0].recipe) == set(keys.split())
    assert systems[3].recipe["quantised"] == "documents, scored against float queries"
    assert dense(word_model(VECTORS), weights="nf4").recipe["weights"] == "nf4"


@pytest.mark.parametrize("name", ["bm25", "mixer-tiny", "minilm"])
def test_committed_results_keep_their_revision(name: str) -> None:
    if name == "minilm":
        try:
            minilm_folder()
        except MixbenchError:
            pytest.skip("the minilm extra is not installed")
    system = open_system(name, EncoderOptions())
    committed = {
        result.revision for result in find_results(ROOT / "leaderboards") if result.model == system.name
    }
    assert revision_of(system.recipe) in committed


# Types of weights


def test_weights_of_another_type_are_the_rounded_ones_and_still_search() -> None:
    for name in ("tiny", "tiny-twin"):
        whole, half = (open_system(name, EncoderOptions(dtype=dtype)) for dtype in (None, "bfloat16"))
        assert (whole.recipe["dtype"], half.recipe["dtype"]) == ("float32", "bfloat16")
        assert whole.parameters == half.parameters
        for mine, theirs in zip(half.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(mine, theirs.to(torch.bfloat16))
        documents = [Document("a", "", "the lift of a wing"), Document("b", "", "bread")]
        half.index(documents)
        assert half.search(["the lift of a wing"], 2)[0][0][0] == "a"


# Models of mteb


def test_a_model_of_mteb_that_only_encodes_takes_the_options_and_says_so_in_its_recipe() -> None:
    name = "mteb/baseline-random-encoder"
    plain = MtebRetriever(name)
    assert set(plain.recipe) == {"kind", "model", "model_revision", "mteb"}
    small = open_system(name, EncoderOptions(precision="binary", truncate_dim=16, similarity="dot"))
    added = {"similarity": "dot", "truncate_dim": 16, "precision": "binary"}
    assert added.items() <= small.recipe.items()
    corpus = [Document(str(number), "", f"text {number}") for number in range(4)]
    for retriever in (plain, small):
        retriever.index(corpus)
    assert (small.index_bytes, plain.index_bytes % (4 * 4)) == (4 * 2, 0)
    (ranking,) = small.search(["text"], 4)
    assert len(ranking) == 4
    assert small.for_task("SciFact").recipe == small.recipe


@pytest.mark.parametrize("setting", [{"similarity": "dot"}, {"truncate_dim": 4}, {"precision": "int8"}])
def test_a_model_of_mteb_that_searches_by_itself_refuses_them(setting: dict[str, object]) -> None:
    pytest.importorskip("bm25s", reason="the bm25s extra of mteb is not installed")
    with pytest.raises(InputError, match="'mteb/baseline-bm25s' searches by itself: it takes no other"):
        open_system("mteb/baseline-bm25s", EncoderOptions(**setting))


def test_what_mteb_decides_cannot_be_chosen_and_is_not_left_out_of_account() -> None:
    options = EncoderOptions(max_length=9, query_prompt="", dtype="float16", load_in_4bit=True)
    with pytest.raises(InputError, match="leave out --max-length, --query-prompt, --dtype, --load-in-4bit"):
        open_system("mteb/baseline-random-encoder", options)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"precision": "int4"}, "unknown precision 'int4'; did you mean 'int8'"),
        ({"similarity": "cosin"}, "unknown similarity 'cosin'; did you mean 'cosine'"),
        ({"dtype": "float64"}, "unknown data type of weights 'float64'; did you mean 'float"),
    ],
)
def test_a_choice_that_there_is_not_is_refused_whatever_the_model(
    setting: dict[str, object], message: str
) -> None:
    with pytest.raises(UnknownName, match=message):
        EncoderOptions(**setting)


def test_a_preset_is_not_held_in_4_bits() -> None:
    with pytest.raises(InputError, match="preset 'tiny' is not held in 4 bits; leave out --load-in-4bit"):
        open_system("tiny", EncoderOptions(load_in_4bit=True))
