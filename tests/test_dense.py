"""Dense retrieval: what is encoded, how it is compared, and that the search is exact, ties included."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from mixbench.data import Document
from mixbench.errors import InputError, MixbenchError
from mixbench.retrievers.attention import attention_of_any_shape
from mixbench.retrievers.cpu_encoding import CPU_TOKENS, cpu_batches
from mixbench.retrievers.dense import DenseRetriever
from mixbench.retrievers.topk import best_columns, search_chunks
from mixbench.training.collating import embed_all

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
WORDS = {"[UNK]": [0, 0], "east": [1, 0], "far": [3, 0], "north": [0, 2], "west": [-1, 0], "lost": [0, 0]}


def word_model(vectors: dict[str, list[float]] | None = None, **settings: object) -> SentenceTransformer:
    """A model whose embedding of a text is the mean of the vectors of its words."""
    vectors = vectors or WORDS
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vectors)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = np.array(list(vectors.values()), dtype=np.float32)
    return SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu", **settings
    )


def dense(model: SentenceTransformer, **settings: object) -> DenseRetriever:
    return DenseRetriever(model, name="tiny", model_sha256="0" * 64, **settings)


def documents(**texts: str) -> list[Document]:
    return [Document(doc_id, "", text) for doc_id, text in texts.items()]


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of 8 positions that knows the words w0 to w19."""
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(20))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=8,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def bert(bert_folder: Path) -> SentenceTransformer:
    """The random BERT as an encoder that reads 6 tokens."""
    encoder = Transformer(str(bert_folder), max_seq_length=6)
    return SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension())], device="cpu")


def chunked(embeddings: torch.Tensor, sizes: Sequence[int]) -> list[tuple[int, torch.Tensor]]:
    starts = np.cumsum([0, *sizes]).tolist()
    return [(start, embeddings[start : start + size]) for start, size in zip(starts, sizes, strict=False)]


def random_sizes(total: int, generator: random.Random) -> list[int]:
    sizes = []
    while sum(sizes) < total:
        sizes.append(min(generator.randint(1, 9), total - sum(sizes)))
    return sizes


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(20))
def test_top_k_of_chunks_is_the_head_of_a_full_sort_with_ties_by_position(seed: int, device: str) -> None:
    generator = random.Random(seed)
    torch.manual_seed(seed)
    queries, corpus = torch.randint(-2, 3, (7, 3)).float(), torch.randint(-2, 3, (40, 3)).float()
    k = generator.choice([1, 2, 5, 13, 39, 40, 60])
    chunks = chunked(corpus, random_sizes(40, generator))
    cells = generator.choice([1, 20, 1000])
    scores, positions = search_chunks(queries.to(device), chunks, k, block_cells=cells)
    assert (scores.device.type, scores.dtype) == (device, torch.float32)
    for row, every_score in enumerate((queries @ corpus.T).tolist()):
        expected = sorted(range(40), key=lambda position: (-every_score[position], position))[:k]
        assert positions[row].tolist() == expected
        assert scores[row].tolist() == [every_score[position] for position in expected]


def test_scores_depend_neither_on_chunks_nor_on_blocks_nor_on_threads() -> None:
    torch.manual_seed(1)
    queries, corpus = torch.randn(33, 96), torch.randn(500, 96)
    expected = search_chunks(queries, [(0, corpus)], 50)
    threads = torch.get_num_threads()
    for seed in range(5):
        generator = random.Random(seed)
        torch.set_num_threads(generator.choice([1, 2]))
        chunks = chunked(corpus, random_sizes(500, generator))
        found = search_chunks(queries, chunks, 50, block_cells=generator.choice([1, 100, 10_000]))
        assert all(torch.equal(got, wanted) for got, wanted in zip(found, expected, strict=True))
    torch.set_num_threads(threads)


@pytest.mark.parametrize("device", DEVICES)
def test_equal_embeddings_tie_wherever_they_stand(device: str) -> None:
    torch.manual_seed(2)
    queries, corpus = torch.randn(5, 384), torch.randn(400, 384)
    places = [0, 3, 64, 127, 250, 399]
    corpus[places] = 3 * queries.mean(dim=0)
    scores, positions = search_chunks(queries.to(device), chunked(corpus, [130, 131, 139]), 400)
    for row in range(len(queries)):
        rank = positions[row].tolist().index(0)
        assert positions[row, rank : rank + len(places)].tolist() == places
        assert len(set(scores[row, rank : rank + len(places)].tolist())) == 1


@pytest.mark.parametrize("device", DEVICES)
def test_minus_zero_ties_with_zero(device: str) -> None:
    scores = torch.tensor([[-0.0, 0.0, -1.0, 0.0, -0.0]], device=device)
    assert best_columns(scores, 3).tolist() == [[0, 1, 3]]
    assert best_columns(scores, 5).tolist() == [[0, 1, 3, 4, 2]]


def test_the_cosine_ignores_length_and_the_dot_product_does_not() -> None:
    corpus = documents(a="east", b="far", c="north", d="west")
    by_cosine, by_dot = dense(word_model()), dense(word_model(), similarity="dot")
    by_cosine.index(corpus)
    by_dot.index(corpus)
    assert by_cosine.search(["far"], 4) == [[("b", 1.0), ("a", 1.0), ("c", 0.0), ("d", -1.0)]]
    assert by_dot.search(["far"], 4) == [[("b", 9.0), ("a", 3.0), ("c", 0.0), ("d", -3.0)]]


def test_equal_scores_rank_by_descending_doc_id_at_every_depth() -> None:
    retriever = dense(word_model(), chunk_size=3)
    retriever.index(documents(**{f"d{number}": "east" for number in (7, 10, 1, 9, 3, 2)}, best="north"))
    ranked = ["best", "d9", "d7", "d3", "d2", "d10", "d1"]
    for k in range(1, 9):
        (ranking,) = retriever.search(["north"], k)
        assert [doc_id for doc_id, _ in ranking] == ranked[:k]


def test_a_text_without_a_vector_scores_zero() -> None:
    retriever = dense(word_model())
    retriever.index(documents(a="lost", b="east"))
    assert retriever.search(["east"], 2) == [[("b", 1.0), ("a", 0.0)]]


def test_title_and_text_are_encoded_together() -> None:
    retriever = dense(word_model(), similarity="dot")
    retriever.index([Document("a", "far", "north")])
    assert retriever.search(["east", "north"], 1) == [[("a", 1.5)], [("a", 2.0)]]


def test_the_prompts_of_the_model_are_used_unless_others_are_given() -> None:
    model = word_model(prompts={"query": "far ", "document": "north "})
    corpus = documents(a="east")

    def score(**prompts: str) -> float:
        retriever = dense(model, similarity="dot", **prompts)
        retriever.index(corpus)
        return retriever.search(["east"], 1)[0][0][1]

    assert score() == 1.0  # (3 + 1) / 2 times (0 + 1) / 2
    assert score(query_prompt="") == 0.5
    assert score(query_prompt="", document_prompt="") == 1.0
    assert score(document_prompt="west ") == 0.0
    assert (dense(model).query_prompt, dense(model).document_prompt) == ("far ", "north ")


def test_a_search_in_chunks_ranks_as_one_in_a_piece(bert: SentenceTransformer) -> None:
    generator = random.Random(3)
    texts = {f"d{n}": " ".join(f"w{generator.randrange(20)}" for _ in range(4)) for n in range(30)}
    queries = ["w1 w2", "w19", "w4 w4 w7"]
    whole, pieces = dense(bert), dense(bert, chunk_size=7)
    whole.index(documents(**texts))
    pieces.index(documents(**texts))
    for left, right in zip(whole.search(queries, 9), pieces.search(queries, 9), strict=True):
        assert [doc_id for doc_id, _ in left] == [doc_id for doc_id, _ in right]
        assert [score for _, score in left] == pytest.approx([score for _, score in right], abs=1e-6)


def test_the_share_of_truncated_documents_is_counted_at_the_length_in_use(bert: SentenceTransformer) -> None:
    corpus = documents(a="w1 w2", b="w1 w2 w3 w4 w5 w6", c="w1 w2 w3 w4 w5 w6 w7", d=" ".join(["w1"] * 50))
    retriever = dense(bert)
    assert retriever.truncated_share is None
    retriever.index(corpus)
    assert (retriever.max_length, retriever.truncated_share) == (6, 0.5)
    prompted = dense(bert, document_prompt="w9 ")
    prompted.index(corpus)
    assert prompted.truncated_share == 0.75


def test_operations_are_those_of_the_layers_products_on_the_tokens_there_are(
    bert: SentenceTransformer,
) -> None:
    retriever = dense(bert)
    assert retriever.flops_per_document is None
    retriever.index(documents(a="w1", b="w1 w2 w3"))

    def worked_out(tokens: int, width: int = 16, inner: int = 32) -> int:
        projections = 2 * tokens * (4 * width * width + 2 * width * inner)
        attention = 2 * 2 * tokens * tokens * width
        pooler = 2 * width * width
        return projections + attention + pooler

    assert retriever.flops_per_document == (worked_out(1) + worked_out(3)) // 2


def test_texts_done_are_told_batch_by_batch(bert: SentenceTransformer) -> None:
    retriever = dense(bert, batch_size=2)
    told: list[int] = []
    retriever.advance = told.append
    retriever.index(documents(a="w1", b="w2", c="w3"))
    retriever.search(["w1"], 1)
    assert told == [2, 1, 1]


def test_a_shorter_maximum_length_reads_less_and_leaves_the_model_as_it_was(
    bert: SentenceTransformer,
) -> None:
    short = dense(bert, max_length=2)
    short.index(documents(a="w1 w2 w3", b="w1 w2 w4"))
    (ranking,) = short.search(["w1 w2 w5 w6"], 2)
    assert [score for _, score in ranking] == pytest.approx([1.0, 1.0], abs=1e-6)
    assert short.truncated_share == 1.0
    assert bert.max_seq_length == 6
    full = dense(bert)
    full.index(documents(a="w1 w2 w3", b="w1 w2 w4"))
    assert full.search(["w1 w2 w5 w6"], 1)[0][0][1] < 0.999


def test_a_model_without_a_maximum_length_tells_no_truncated_share() -> None:
    retriever = dense(word_model())
    retriever.index(documents(a="east"))
    assert (retriever.max_length, retriever.truncated_share) == (None, None)


def test_a_model_that_reads_whole_texts_is_given_no_maximum_length() -> None:
    static = word_model()
    with pytest.raises(InputError, match="maximum length 5: StaticEmbedding always reads whole texts; leave"):
        dense(static, max_length=5)
    assert dense(static).max_length is None


@pytest.mark.parametrize("length", [0, 9])
def test_a_maximum_length_that_the_model_has_no_positions_for_is_refused(
    length: int, bert: SentenceTransformer
) -> None:
    with pytest.raises(InputError, match=f"maximum length {length} for model 'tiny'.* at most 8"):
        dense(bert, max_length=length)


def test_an_embedding_with_nan_or_infinity_names_its_document_or_query() -> None:
    model = word_model({"[UNK]": [0, 0], "good": [1, 0], "bad": [float("nan"), 0], "huge": [float("inf"), 1]})
    for similarity in ("cosine", "dot"):
        for text in ("bad", "huge"):
            retriever = dense(model, similarity=similarity, chunk_size=2)
            with pytest.raises(MixbenchError, match="document 'b' has NaN or infinite"):
                retriever.index(documents(a="good", b=text, c="good", d="good"))
            with pytest.raises(MixbenchError, match="no index"):
                retriever.search(["good"], 1)
            retriever.index(documents(a="good"))
            with pytest.raises(MixbenchError, match=f"query '{text}' has NaN or infinite"):
                retriever.search(["good", text], 1)


def test_what_cannot_be_indexed_or_searched_is_refused_in_one_line() -> None:
    retriever = dense(word_model())
    with pytest.raises(MixbenchError, match="'tiny' has no index"):
        retriever.search(["east"], 1)
    with pytest.raises(InputError, match="'tiny' was given an empty corpus"):
        retriever.index([])
    retriever.index(documents(a="east"))
    with pytest.raises(InputError, match="k is 0"):
        retriever.search(["east"], 0)
    assert retriever.search([], 1) == []


def test_a_distance_is_no_similarity_to_search_by() -> None:
    with pytest.raises(InputError, match="similarity 'euclidean'"):
        dense(word_model(similarity_fn_name="euclidean"))
    assert dense(word_model(similarity_fn_name="dot")).similarity == "dot"


def test_the_recipe_is_json_and_changes_with_every_setting_that_can_change_a_ranking(
    bert: SentenceTransformer,
) -> None:
    changes = [{}, {"similarity": "dot"}, {"query_prompt": "q"}, {"document_prompt": "d"}, {"max_length": 3}]
    recipes = [json.dumps(dense(bert, **change).recipe, sort_keys=True) for change in changes]
    recipes.append(
        json.dumps(DenseRetriever(bert, name="tiny", model_sha256="1" * 64).recipe, sort_keys=True)
    )
    assert len(set(recipes)) == len(recipes)
    assert json.dumps(dense(bert, batch_size=1, chunk_size=2).recipe, sort_keys=True) == recipes[0]


def test_sizes_are_those_of_the_model_and_of_its_float32_embeddings() -> None:
    retriever = dense(word_model(), training_sources=["squad"])
    assert (retriever.parameters, retriever.index_bytes) == (12, 0)
    retriever.index(documents(a="east", b="north", c="far"))
    assert retriever.index_bytes == 3 * 2 * 4
    assert list(retriever.training_sources) == ["squad"]


def test_batches_of_a_cpu_hold_few_tokens_and_never_more_texts_than_asked_for() -> None:
    texts = ["a" * 4 * length for length in (10, 600, 100, 20, 5_000, 100)]
    assert cpu_batches(texts, 32, 256) == [[4, 1, 2, 5, 3, 0]]
    assert cpu_batches(texts, 4, 256) == [[4, 1, 2, 5], [3, 0]]
    assert cpu_batches(texts, 32, None) == [[4], [1, 2, 5], [3, 0]]
    long = ["a" * 4_000] * 20
    assert [len(batch) for batch in cpu_batches(long, 32, 256)] == [CPU_TOKENS // 256, CPU_TOKENS // 256, 4]
    assert cpu_batches([], 32, None) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_neither_batches_nor_threads_change_an_embedding(
    bert: SentenceTransformer, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    texts = [" ".join(["w1", "w2", "w3"][: 1 + at % 3] * (1 + at % 7)) for at in range(40)]
    expected = bert.encode(texts, batch_size=40)
    monkeypatch.setattr("mixbench.retrievers.cpu_encoding.CPU_TOKENS", 8)
    assert len({len(batch) for batch in cpu_batches(texts, 16, None)}) > 2
    told: list[int] = []
    retriever = dense(bert, batch_size=16)
    retriever.advance = told.append
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = retriever.encode_documents([Document("", "", text) for text in texts])
        asked = retriever.encode_queries(texts)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(asked.numpy(), expected, atol=1e-6)
    assert sum(told) == 80
    assert "preprocess" not in vars(bert)


def test_a_text_alone_has_one_thread_where_it_is_little_work(
    bert: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    hook = bert[0].register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        dense(bert).encode_queries(["w1 w2 w3"])
        monkeypatch.setattr("mixbench.retrievers.cpu_encoding.LITTLE_WORK", 2_000)
        dense(bert).encode_queries(["w1 w2 w3"])
        assert (seen, torch.get_num_threads()) == ([1, 3], 3)
    finally:
        hook.remove()
        torch.set_num_threads(before)


def test_an_error_of_one_thread_is_that_of_the_encoding(bert: SentenceTransformer) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no memory left")

    hook = bert[0].register_forward_pre_hook(fail)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="no memory left"):
            dense(bert, batch_size=2).encode_queries(["w1"] * 9)
        assert torch.get_num_threads() == 2
    finally:
        hook.remove()
        torch.set_num_threads(before)


def test_what_has_many_shapes_is_not_encoded_by_kernels_that_plan_for_each() -> None:
    cuda = torch.backends.cuda
    for before in (True, False):
        cuda.enable_cudnn_sdp(before)
        with attention_of_any_shape():
            assert not cuda.cudnn_sdp_enabled()
            assert cuda.flash_sdp_enabled()
        assert cuda.cudnn_sdp_enabled() is before
    cuda.enable_cudnn_sdp(True)


def test_every_encoder_leaves_such_kernels_out_while_its_network_runs(
    bert: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    torch.backends.cuda.enable_cudnn_sdp(True)
    hook = bert[0].register_forward_hook(lambda *_: seen.append(torch.backends.cuda.cudnn_sdp_enabled()))
    dense(bert).encode_queries(["a wing"])
    embed_all(bert, ["a wing"], None, lambda _: None)
    hook.remove()
    assert seen == [False, False]
    assert torch.backends.cuda.cudnn_sdp_enabled()
