"""Reranking: the best documents in a new order, the rest below them as they were."""

import json
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny_reranker import bert_config, make_reranker, save_tokenizer
from transformers import BertModel
from word_overlap import CORPUS, WordOverlap

from mixbench.data import Document
from mixbench.errors import CheckpointError, InputError, MixbenchError
from mixbench.evaluation.metrics import trec_order
from mixbench.models.cross_encoder import load_cross_encoder
from mixbench.models.load import model_sha256
from mixbench.retrievers import Ranking
from mixbench.retrievers.bm25 import BM25
from mixbench.retrievers.cross_encoder import CrossEncoderScorer
from mixbench.retrievers.rerank import Reranked

torch.set_num_threads(1)

SEA = "what moves the sea"


class InOrder:
    """Ranks all documents in the order in which they were indexed, and tells of each text."""

    name = "in-order"
    parameters = 2
    training_sources: Sequence[str] | None = ("a", "b")
    recipe: Mapping[str, Any] = {"kind": "in order"}
    index_bytes = 5

    def __init__(self) -> None:
        self.advance: Callable[[int], None] = lambda texts: None

    def index(self, corpus: Sequence[Document]) -> None:
        self.doc_ids = [document.doc_id for document in corpus]
        for _ in corpus:
            self.advance(1)

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        for _ in queries:
            self.advance(1)
        ranking = [(doc_id, float(-place)) for place, doc_id in enumerate(self.doc_ids)]
        return [ranking[:k] for _ in queries]


class Scored:
    """A scorer that asks `rule` for the score of each pair."""

    name = "scored"
    parameters = 3
    training_sources: Sequence[str] | None = ("b", "c")

    def __init__(self, rule: Callable[[str, str], float], model_sha256: str = "1") -> None:
        self.rule = rule
        self.recipe: Mapping[str, Any] = {"kind": "rule", "model_sha256": model_sha256}

    def score(
        self,
        queries: Sequence[str],
        candidates: Sequence[Sequence[Document]],
        advance: Callable[[int], None],
    ) -> list[list[float]]:
        scores = []
        for query, documents in zip(queries, candidates, strict=True):
            scores.append([self.rule(query, document.content) for document in documents])
            advance(len(documents))
        return scores


def overlap(query: str, text: str) -> float:
    return len(set(query.lower().split()) & set(text.lower().split()))


def reranked(rule: Callable[[str, str], float], depth: int, order: str = "d3 d2 d1 q1") -> Reranked:
    """Documents in a given order, reranked; their overlap with SEA is d1: 3, d2: 2, d3: 0, q1: 4."""
    system = Reranked(InOrder(), Scored(rule), depth=depth)
    corpus = {document.doc_id: document for document in CORPUS}
    system.index([corpus[doc_id] for doc_id in order.split()])
    return system


def documents(**texts: str) -> list[Document]:
    return [Document(doc_id, "", text) for doc_id, text in texts.items()]


# The order


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (1, [("d3", 0.0), ("d2", -1.0), ("d1", -2.0), ("q1", -3.0)]),
        (2, [("d2", 2.0), ("d3", 0.0), ("d1", -1.0), ("q1", -2.0)]),
        (3, [("d1", 3.0), ("d2", 2.0), ("d3", 0.0), ("q1", -1.0)]),
        (4, [("q1", 4.0), ("d1", 3.0), ("d2", 2.0), ("d3", 0.0)]),
        (9, [("q1", 4.0), ("d1", 3.0), ("d2", 2.0), ("d3", 0.0)]),
    ],
)
def test_the_best_are_ranked_by_the_new_scores_and_the_rest_follow_as_they_were(
    depth: int, expected: Ranking
) -> None:
    assert reranked(overlap, depth).search([SEA], 10) == [expected]


def test_a_reranker_looks_deeper_than_what_is_asked_for() -> None:
    assert reranked(overlap, 4).search([SEA], 1) == [[("q1", 4.0)]]
    assert reranked(overlap, 2).search([SEA], 3) == [[("d2", 2.0), ("d3", 0.0), ("d1", -1.0)]]


def test_each_query_is_reranked_by_its_own_scores() -> None:
    flour = [("d3", 2.0), ("q1", 0.0), ("d2", 0.0), ("d1", 0.0)]
    found = reranked(overlap, 4).search(["zebra", "bread flour"], 10)
    assert found == [[("q1", 0.0), ("d3", 0.0), ("d2", 0.0), ("d1", 0.0)], flour]


def test_scores_that_are_equal_as_float32_rank_by_descending_doc_id() -> None:
    close = {"d1": 1.0, "d2": 1.0 + 1e-9, "d3": -0.0, "q1": 0.0}
    texts = {document.content: close[document.doc_id] for document in CORPUS}
    (ranking,) = reranked(lambda query, text: texts[text], 4).search([SEA], 10)
    assert [doc_id for doc_id, _ in ranking] == ["d2", "d1", "q1", "d3"]


@pytest.mark.parametrize("score", [0.0, -0.0, 1e-30, -1e-30, 0.3, -3e7, 3e7, 1e30, -1e30])
def test_scores_below_the_reranked_ones_say_the_same_order_to_trec_eval(score: float) -> None:
    system = Reranked(InOrder(), Scored(lambda query, text: score), depth=2)
    system.index(documents(**{f"d{number:03}": "text" for number in range(120)}))
    (ranking,) = system.search(["query"], 120)
    assert [doc_id for doc_id, _ in ranking] == ["d001", "d000", *(f"d{n:03}" for n in range(2, 120))]
    assert trec_order(ranking) == ranking


def test_an_empty_ranking_stays_empty() -> None:
    system = Reranked(WordOverlap(), Scored(overlap), depth=2)
    system.index(CORPUS)
    assert system.search(["zebra", "flour"], 5) == [[], [("d3", 1.0)]]
    assert system.search(["zebra"], 5) == [[]]
    assert system.search([], 5) == []


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf"), 1e39])
def test_a_score_that_is_no_number_is_an_error_that_names_query_and_document(score: float) -> None:
    system = reranked(lambda query, text: score if "salt" in text else 0.0, 1, order="d2 d1")
    with pytest.raises(MixbenchError, match=r"scores document 'd2' .* for query 'what moves the sea'"):
        system.search([SEA], 5)


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_one_is_refused(depth: int) -> None:
    with pytest.raises(InputError, match=f"rerank depth is {depth}; rerank at least 1"):
        Reranked(InOrder(), Scored(overlap), depth=depth)


def test_a_k_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="k is 0"):
        reranked(overlap, 2).search([SEA], 0)


# What it says of itself


def test_it_is_called_after_both_and_adds_up_what_both_have() -> None:
    system = reranked(overlap, 2)
    assert (system.name, system.parameters, system.index_bytes) == ("in-order@scored", 5, 5)
    assert system.training_sources == ["a", "b", "c"]


@pytest.mark.parametrize("silent", ["first", "scorer"])
def test_where_nobody_says_what_one_was_trained_on_nobody_says_it_of_both(silent: str) -> None:
    system = reranked(overlap, 2)
    getattr(system, silent).training_sources = None
    assert system.training_sources is None


def test_the_recipe_holds_both_recipes_and_differs_with_each_setting() -> None:
    def system(b: float = 0.4, sha256: str = "1", depth: int = 10) -> Reranked:
        return Reranked(BM25(b=b), Scored(overlap, sha256), depth=depth)

    assert system().recipe == {
        "kind": "reranked",
        "first": BM25().recipe,
        "scorer": {"kind": "rule", "model_sha256": "1"},
        "depth": 10,
    }
    changed = [system(b=0.5), system(sha256="2"), system(depth=11)]
    assert len({json.dumps(each.recipe, sort_keys=True) for each in [system(), *changed]}) == 4


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_progress_tells_of_each_document_once_and_of_each_query_once_it_is_reranked(depth: int) -> None:
    told: list[int] = []
    system = Reranked(InOrder(), Scored(overlap), depth=depth)
    system.advance = told.append
    system.index(CORPUS)
    assert told == [1, 1, 1, 1]
    told.clear()
    system.search([SEA, "flour", "zebra"], 4)
    assert told == [1, 1, 1]


# Cross-encoders


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_reranker(tmp_path_factory.mktemp("reranker"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "my-reranker"))


def scorer(folder: Path) -> CrossEncoderScorer:
    return CrossEncoderScorer(load_cross_encoder(folder), name="ce", model_sha256=model_sha256(folder))


TEXTS = [
    "w1 w2 w3",
    "w4",
    "w5 w6 w7 w8 w9",
    "",
    "w1",
    "w10 w11",
    "w12 w13 w14 w15 w16 w17 w18 w19 w0 w1 w2 w3",
]


def test_a_cross_encoder_ranks_as_its_own_rank_does(saved: Path) -> None:
    system = Reranked(InOrder(), scorer(saved), depth=len(TEXTS))
    system.index(documents(**{f"d{number}": text for number, text in enumerate(TEXTS)}))
    queries = ["w1 w2", "w9", "w17 w3 w4"]
    model = CrossEncoder(str(saved), device="cpu", activation_fn=torch.nn.Identity())
    for query, ranking in zip(queries, system.search(queries, 10), strict=True):
        expected = model.rank(query, TEXTS)
        assert [doc_id for doc_id, _ in ranking] == [f"d{entry['corpus_id']}" for entry in expected]
        scores = [float(entry["score"]) for entry in expected]
        assert [score for _, score in ranking] == pytest.approx(scores, abs=1e-5)
        assert len(set(scores)) == len(TEXTS)


def test_the_order_is_that_of_the_folders_own_sigmoid(saved: Path) -> None:
    model = CrossEncoder(str(saved), device="cpu")
    assert isinstance(model.activation_fn, torch.nn.Sigmoid)
    found = scorer(saved).score(["w1 w2"], [documents(a="w3", b="w4 w5")], lambda pairs: None)
    own = model.predict([("w1 w2", "w3"), ("w1 w2", "w4 w5")])
    assert torch.sigmoid(torch.tensor(found[0])).tolist() == pytest.approx(own.tolist(), abs=1e-6)


def test_a_cross_encoder_reads_the_title_before_the_text(saved: Path) -> None:
    with_title, joined = Document("a", "w3", "w4 w5"), Document("b", "", "w3 w4 w5")
    ((first, second),) = scorer(saved).score(["w1"], [[with_title, joined]], lambda pairs: None)
    assert first == second


def test_a_cross_encoders_recipe_says_what_its_scores_depend_on(saved: Path, tmp_path: Path) -> None:
    recipe = scorer(saved).recipe
    assert recipe == {
        "kind": "cross-encoder",
        "model_sha256": model_sha256(saved),
        "max_length": 16,
        "activation": "identity",
        "dtype": "float32",
    }
    other = scorer(make_reranker(tmp_path / "other", seed=1)).recipe
    assert {key for key in recipe if recipe[key] != other[key]} == {"model_sha256"}


def test_a_cross_encoder_counts_its_parameters(saved: Path) -> None:
    assert scorer(saved).parameters == sum(
        weight.numel() for weight in load_file(saved / "model.safetensors").values()
    )


def test_a_classifier_of_several_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'ce' gives 3 numbers for a pair; only .* \(num_labels = 1\)"):
        scorer(make_reranker(tmp_path / "three", labels=3))


# What is not opened


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_cross_encoder(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Marking:
    """Pickles as a call that touches a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_pickled_weights_are_refused_and_never_read(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Marking(marker)))
    assert "pickled weights are never read" in refusal(folder)
    assert not marker.exists()


def test_pickled_weights_in_a_subfolder_are_refused_too(folder: Path) -> None:
    (folder / "2_Dense").mkdir()
    torch.save({}, folder / "2_Dense" / "pytorch_model.bin")
    assert "2_Dense" in refusal(folder)


def test_pickled_weights_beside_safetensors_are_left_alone(folder: Path, tmp_path: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Marking(tmp_path / "ran")))
    load_cross_encoder(folder)
    assert not (tmp_path / "ran").exists()


def test_code_that_a_folder_names_is_refused_and_never_runs(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n")
    remote = {"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": remote}))
    refusal(folder)
    assert not marker.exists()


def test_a_foreign_module_is_refused_and_never_runs(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "evil.Evil"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config_sentence_transformers.json").write_text('{"model_type": "CrossEncoder"}')
    refusal(folder)
    assert not marker.exists()


def test_an_activation_that_a_folder_names_is_not_called(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(torch, "marked", lambda: called.append("called"), raising=False)
    config = json.loads((folder / "config.json").read_text())
    config["sentence_transformers"] = {"activation_fn": "torch.marked"}
    (folder / "config.json").write_text(json.dumps(config))
    CrossEncoder(str(folder), device="cpu", local_files_only=True)
    assert called == ["called"]  # so sentence-transformers would have
    load_cross_encoder(folder)
    assert called == ["called"]


def test_an_encoder_is_no_cross_encoder(tmp_path: Path) -> None:
    plain, sentence = tmp_path / "plain", tmp_path / "sentence"
    BertModel(bert_config()).save_pretrained(plain)
    save_tokenizer(plain)
    assert "is no cross-encoder but BertModel" in refusal(plain)
    encoder = Transformer(str(plain))
    SentenceTransformer(modules=[encoder, Pooling(16)], device="cpu").save(str(sentence))
    assert "is no cross-encoder but SentenceTransformer" in refusal(sentence)


def test_a_head_that_was_not_stored_is_refused_rather_than_drawn_at_random(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "its weights lack 'classifier.weight'" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_folder_is_refused_in_one_line(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    assert "cannot be opened as a cross-encoder" in refusal(folder)


def test_a_folder_saved_by_sentence_transformers_opens(saved: Path, tmp_path: Path) -> None:
    CrossEncoder(str(saved), device="cpu").save_pretrained(str(tmp_path / "again"))
    pairs = [documents(a="w3", b="w4 w5")]
    first, second = (scorer(each).score(["w1"], pairs, print) for each in (saved, tmp_path / "again"))
    assert first == second
