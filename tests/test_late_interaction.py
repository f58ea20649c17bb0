"""Late interaction: MaxSim by hand and against sentence-transformers', and which tokens enter it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Dense, Pooling, StaticEmbedding
from sentence_transformers.util import maxsim
from tiny_reranker import bert_config, save_tokenizer
from torch import Tensor
from transformers import BertModel

from mixbench.data import Document
from mixbench.errors import CheckpointError, InputError, MixbenchError
from mixbench.models.build import build_mixer_encoder
from mixbench.models.late_interaction import as_late_interaction, load_late_interaction
from mixbench.models.tokenizer import load_tokenizer, train_tokenizer
from mixbench.models.tokenizer import save_tokenizer as write_tokenizer
from mixbench.retrievers.bm25 import BM25
from mixbench.retrievers.late_interaction import LateInteractionScorer, QueryTokens, TokenEncoder, max_sim
from mixbench.retrievers.rerank import Reranked
from mixbench.retrievers.token_index import LateInteractionRetriever

TEXTS = ["the lift of a wing", "drag", "lift and drag of wings in flight", "a wing", "the lift of a wing"]


def documents(*texts: str) -> list[Document]:
    return [Document(f"d{number}", "", text) for number, text in enumerate(texts)]


def mixer(folder: Path, alignment: str, seed: int = 0) -> SentenceTransformer:
    """A random mixer of 16 channels that reads 12 tokens."""
    write_tokenizer(train_tokenizer(2 * TEXTS, 300), folder / "tokenizer.json")
    sizes = {"width": 16, "depth": 2, "context": 12, "alignment": alignment}
    return build_mixer_encoder(sizes, load_tokenizer(folder / "tokenizer.json"), seed=seed)


@pytest.fixture(params=["left", "right"])
def any_mixer(request: pytest.FixtureRequest, tmp_path: Path) -> SentenceTransformer:
    return mixer(tmp_path, request.param)


@pytest.fixture
def bert(tmp_path: Path) -> SentenceTransformer:
    """A random BERT with mean pooling that knows the words w0 to w19."""
    torch.manual_seed(0)
    BertModel(bert_config()).save_pretrained(tmp_path / "bert")
    save_tokenizer(tmp_path / "bert")
    return SentenceTransformer(modules=[Transformer(str(tmp_path / "bert")), Pooling(16)], device="cpu")


def tokens(model: SentenceTransformer, **settings: object) -> TokenEncoder:
    return TokenEncoder(as_late_interaction(model, "tiny"), name="tiny", model_sha256="0" * 64, **settings)


def states(model: SentenceTransformer, text: str) -> Tensor:
    """Return the states of a text alone, (its tokens, D), special ones included."""
    network = model[0]
    with torch.no_grad():
        found: Tensor = network(network.preprocess([text]))["token_embeddings"][0]
    return found


# MaxSim

WING, DRAG, BETWEEN = [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]


@pytest.mark.parametrize(
    ("query", "document", "score"),
    [
        ([WING], [WING], 1.0),
        ([WING], [DRAG], 0.0),
        ([WING, DRAG], [WING, BETWEEN], 1.8),
        ([WING, DRAG], [BETWEEN], 1.4),
        ([BETWEEN], [WING, DRAG], 0.8),
        ([WING, WING, DRAG], [WING], 2.0),
        ([WING], [[-1.0, 0.0], [-0.6, -0.8]], -0.6),
        ([WING, DRAG], [], -2.0),
        ([], [WING], 0.0),
    ],
)
def test_max_sim_adds_up_the_best_match_of_each_token_of_the_query(
    query: list[list[float]], document: list[list[float]], score: float
) -> None:
    tokens_SD, tokens_TD = (torch.tensor(rows).reshape(-1, 2) for rows in (query, document))
    assert max_sim(QueryTokens.of([tokens_SD]), tokens_TD).tolist() == [pytest.approx(score, abs=1e-7)]


def test_max_sim_keeps_queries_apart() -> None:
    queries = [torch.tensor(rows).reshape(-1, 2) for rows in ([WING, DRAG], [], [BETWEEN])]
    assert max_sim(QueryTokens.of(queries), torch.tensor([WING])).tolist() == pytest.approx([1.0, 0.0, 0.6])


def test_max_sim_is_that_of_sentence_transformers() -> None:
    torch.manual_seed(0)
    queries, corpus = (
        [torch.nn.functional.normalize(torch.randn(length, 24), dim=1) for length in lengths]
        for lengths in ([3, 1, 8, 5], [9, 2, 30, 1, 1, 17])
    )
    ours = torch.stack([max_sim(QueryTokens.of(queries), document) for document in corpus], dim=1)
    assert torch.allclose(ours.float(), maxsim(queries, corpus), atol=1e-5)


# Which tokens


def test_a_mixers_vectors_are_the_states_of_its_words_without_end_and_padding(
    any_mixer: SentenceTransformer,
) -> None:
    encoder = tokens(any_mixer)
    for text, vectors in zip(TEXTS, encoder.encode_queries(TEXTS), strict=True):
        own = states(any_mixer, text)
        assert any_mixer.tokenizer(text)["input_ids"][-1] == any_mixer.tokenizer.eos_token_id
        assert len(vectors) == len(own) - 1 > 0
        torch.testing.assert_close(vectors, torch.nn.functional.normalize(own[:-1], dim=1), atol=1e-5, rtol=0)


def test_ids_mask_and_states_of_a_mixer_belong_together(any_mixer: SentenceTransformer) -> None:
    network = any_mixer[0]
    given = network.preprocess(TEXTS)
    found = network(given)
    ids = [
        row[mask.bool()].tolist()
        for row, mask in zip(found["input_ids"], found["attention_mask"], strict=True)
    ]
    assert ids == [any_mixer.tokenizer(text)["input_ids"] for text in TEXTS]
    for row, text in enumerate(TEXTS):
        own = found["token_embeddings"][row][found["attention_mask"][row].bool()]
        torch.testing.assert_close(own, states(any_mixer, text), atol=1e-5, rtol=0)


def test_the_marks_of_bert_are_left_out_and_unknown_words_are_not(bert: SentenceTransformer) -> None:
    (vectors,) = tokens(bert).encode_documents([Document("d", "w1", "zebra w2")])
    torch.testing.assert_close(
        vectors, torch.nn.functional.normalize(states(bert, "w1 zebra w2")[1:-1], dim=1), atol=1e-5, rtol=0
    )
    assert tokens(bert).recipe["tokens_left_out"] == ["[CLS]", "[PAD]", "[SEP]"]


def test_a_text_without_words_has_no_vectors_and_comes_last(any_mixer: SentenceTransformer) -> None:
    encoder = tokens(any_mixer)
    (vectors,) = encoder.encode_queries([""])
    assert vectors.shape == (0, 16)
    scores = LateInteractionScorer(encoder).score(
        ["drag", ""], [documents("wing", ""), documents("wing", "")], lambda pairs: None
    )
    assert scores[0][0] > scores[0][1] == -len(encoder.encode_queries(["drag"])[0])
    assert scores[1] == [0.0, 0.0]


def test_prompts_are_put_before_the_texts(any_mixer: SentenceTransformer) -> None:
    prompted = tokens(any_mixer, query_prompt="the ", document_prompt="lift ")
    plain = tokens(any_mixer)
    pairs = [(prompted.encode_queries(["drag"]), plain.encode_queries(["the drag"]))]
    pairs += [(prompted.encode_documents(documents("drag")), plain.encode_documents(documents("lift drag")))]
    for (found,), (expected,) in pairs:
        torch.testing.assert_close(found, expected)


def test_a_projection_behind_the_pooling_is_applied_to_each_token(bert: SentenceTransformer) -> None:
    projection = Dense(16, 4, bias=False, activation_function=torch.nn.Identity())
    model = SentenceTransformer(modules=[*bert, projection], device="cpu")
    (vectors,) = tokens(model).encode_queries(["w1 w2"])
    expected = states(bert, "w1 w2")[1:-1] @ projection.linear.weight.detach().T
    torch.testing.assert_close(vectors, torch.nn.functional.normalize(expected, dim=1), atol=1e-5, rtol=0)
    assert model.encode(["w1 w2"]).shape == (1, 4)  # the model itself still pools
    assert projection.module_input_name == "sentence_embedding"


def test_a_model_without_token_states_is_refused() -> None:
    weights = np.ones((300, 4), dtype=np.float32)
    static = StaticEmbedding(train_tokenizer(2 * TEXTS, 300), embedding_weights=weights)
    with pytest.raises(CheckpointError, match="'static': its StaticEmbedding gives no vector for each token"):
        as_late_interaction(SentenceTransformer(modules=[static], device="cpu"), "static")


def test_a_module_that_single_tokens_cannot_pass_is_refused(bert: SentenceTransformer) -> None:
    model = SentenceTransformer(modules=[*bert, MultiVectorMask()], device="cpu")
    with pytest.raises(CheckpointError, match="its MultiVectorMask cannot be applied to single tokens"):
        as_late_interaction(model, "odd")


# Reranking and searching


def test_scores_are_those_of_sentence_transformers_own_encoder(any_mixer: SentenceTransformer) -> None:
    encoder = as_late_interaction(any_mixer, "tiny")
    queries = ["lift of wings", "drag in flight"]
    expected = encoder.similarity(encoder.encode_query(queries), encoder.encode_document(TEXTS))
    found = LateInteractionScorer(tokens(any_mixer)).score(
        queries, [documents(*TEXTS)] * 2, lambda pairs: None
    )
    torch.testing.assert_close(torch.tensor(found), expected, atol=1e-4, rtol=0)


def test_a_score_is_that_of_its_own_pair_whatever_else_is_scored(any_mixer: SentenceTransformer) -> None:
    scorer = LateInteractionScorer(tokens(any_mixer))
    corpus = documents(*TEXTS)
    told: list[int] = []
    candidates = [[corpus[2], corpus[0]], [], [corpus[0], corpus[3], corpus[1]]]
    queries = ["lift", "wing", "drag of flight"]
    found = scorer.score(queries, candidates, told.append)
    assert [len(scores) for scores in found] == [2, 0, 3]
    assert sum(told) == 5
    for query, scores, wanted in zip(queries, found, candidates, strict=True):
        for score, document in zip(scores, wanted, strict=True):
            assert scorer.score([query], [[document]], print) == [[pytest.approx(score, abs=1e-5)]]


def test_a_search_ranks_as_reranking_everything_does(any_mixer: SentenceTransformer) -> None:
    full, best = LateInteractionRetriever(tokens(any_mixer)), BM25()
    system = Reranked(best, LateInteractionScorer(tokens(any_mixer)), depth=10)
    for each in (full, system):
        each.index(documents(*TEXTS))
    query = "the lift of a wing and drag"  # BM25 finds every document with one of these words
    (expected,), (found,) = system.search([query], 10), full.search([query], 10)
    assert len(expected) == 5
    assert [doc_id for doc_id, _ in found] == [doc_id for doc_id, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)


def test_equal_documents_tie_and_rank_by_descending_doc_id(any_mixer: SentenceTransformer) -> None:
    retriever = LateInteractionRetriever(tokens(any_mixer))
    retriever.index(documents(*TEXTS))
    (ranking,) = retriever.search(["wing"], 5)
    places = {doc_id: place for place, (doc_id, _) in enumerate(ranking)}
    assert dict(ranking)["d4"] == dict(ranking)["d0"]
    assert places["d0"] == places["d4"] + 1
    assert retriever.search(["wing"], 2) == [ranking[:2]]


def test_a_search_does_not_depend_on_the_blocks_it_is_done_in(
    any_mixer: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = LateInteractionRetriever(tokens(any_mixer))
    retriever.index(documents(*TEXTS))
    queries = ["lift", "drag in flight", "", "wing"]
    expected = retriever.search(queries, 3)
    for name, size in (("QUERIES_AT_ONCE", 3), ("DOCUMENTS_AT_ONCE", 2)):
        monkeypatch.setattr(f"mixbench.retrievers.token_index.{name}", size)
    for found, wanted in zip(retriever.search(queries, 3), expected, strict=True):
        assert [doc_id for doc_id, _ in found] == [doc_id for doc_id, _ in wanted]
        assert [score for _, score in found] == pytest.approx([score for _, score in wanted], abs=1e-5)


def test_an_index_has_four_bytes_a_number_and_tells_its_progress(any_mixer: SentenceTransformer) -> None:
    retriever = LateInteractionRetriever(tokens(any_mixer))
    told: list[int] = []
    retriever.advance = told.append
    corpus = documents(*TEXTS)
    retriever.index(corpus)
    retriever.search(["lift", "drag"], 1)
    vectors = sum(len(row) - 1 for row in any_mixer.tokenizer(TEXTS)["input_ids"])
    assert retriever.index_bytes == vectors * 16 * 4
    assert sum(told) == len(corpus) + 2


def test_an_index_above_the_limit_is_refused_before_it_is_made(any_mixer: SentenceTransformer) -> None:
    most = sum(len(row) for row in any_mixer.tokenizer(TEXTS)["input_ids"]) * 16 * 4
    LateInteractionRetriever(tokens(any_mixer), most_bytes=most).index(documents(*TEXTS))
    refusing = LateInteractionRetriever(tokens(any_mixer), most_bytes=most - 1)
    with pytest.raises(InputError, match=rf"5 documents take up to {most:,} bytes, .* --rerank maxsim:MODEL"):
        refusing.index(documents(*TEXTS))
    assert refusing.index_bytes == 0


def test_nothing_to_search_is_an_error(any_mixer: SentenceTransformer) -> None:
    retriever = LateInteractionRetriever(tokens(any_mixer))
    with pytest.raises(MixbenchError, match="has no index"):
        retriever.search(["lift"], 1)
    with pytest.raises(InputError, match="empty corpus"):
        retriever.index([])
    retriever.index(documents("lift"))
    with pytest.raises(InputError, match="k is 0"):
        retriever.search(["lift"], 0)
    assert retriever.search([], 1) == []


def test_vectors_that_are_no_numbers_are_an_error_that_names_the_text(tmp_path: Path) -> None:
    model = mixer(tmp_path, "right")
    with torch.no_grad():
        model[0].embedding.weight.fill_(float("nan"))
    scorer = LateInteractionScorer(tokens(model))
    with pytest.raises(MixbenchError, match="a token of query 'lift' has NaN"):
        scorer.score(["lift"], [documents("wing")], print)
    with pytest.raises(MixbenchError, match="a token of document 'd0' has NaN"):
        LateInteractionRetriever(tokens(model)).index(documents("wing"))


def test_a_recipe_says_what_vectors_depend_on_and_differs_with_it(tmp_path: Path) -> None:
    recipe = LateInteractionScorer(tokens(mixer(tmp_path, "right"))).recipe
    assert recipe == {
        "kind": "late interaction",
        "scoring": "maxsim",
        "model_sha256": "0" * 64,
        "modules": ["MaskedMixer", "MultiVectorMask", "Normalize"],
        "tokens_left_out": ["<|endoftext|>", "<|pad|>"],
        "query_prompt": "",
        "document_prompt": "",
        "max_length": 12,
        "dtype": "float32",
    }
    changed = tokens(mixer(tmp_path, "right"), query_prompt="find: ")
    changed.model.max_seq_length = 5
    other = LateInteractionScorer(changed).recipe
    assert {key for key in recipe if recipe[key] != other[key]} == {"query_prompt", "max_length"}
    assert [len(vectors) for vectors in changed.encode_documents(documents(TEXTS[2]))] == [4]
    assert LateInteractionRetriever(tokens(mixer(tmp_path, "right"))).recipe == recipe
    assert LateInteractionScorer(changed).parameters == sum(p.numel() for p in changed.model.parameters())


# Models trained for late interaction


def test_a_multi_vector_folder_opens_as_it_is(bert: SentenceTransformer, tmp_path: Path) -> None:
    modules = [bert[0], MultiVectorMask(["w3"]), Normalize(module_input_name="token_embeddings")]
    prompts = {"query": "w7 ", "document": "w8 "}
    MultiVectorEncoder(modules=modules, device="cpu", prompts=prompts).save(str(tmp_path / "colbert"))
    model = load_late_interaction(tmp_path / "colbert")
    assert model is not None
    assert model.prompts == prompts
    encoder = TokenEncoder(model, name="colbert", model_sha256="0" * 64)
    assert encoder.recipe["tokens_left_out"] == ["w3"]
    assert len(encoder.encode_documents([Document("d", "", "w1 w3 w2")])[0]) == 4  # with [CLS] and [SEP]


def test_other_folders_are_left_to_others_and_damaged_ones_refused(
    bert: SentenceTransformer, tmp_path: Path
) -> None:
    bert.save(str(tmp_path / "dense"))
    assert load_late_interaction(tmp_path / "dense") is None
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "ColBERT"}))
    with pytest.raises(CheckpointError, match="cannot be opened for late interaction") as caught:
        load_late_interaction(damaged)
    assert "\n" not in str(caught.value)
    (damaged / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match="pickled weights are never read"):
        load_late_interaction(damaged)
