"""Cross-encoders: the scores of sentence-transformers' own, and folders that are not opened."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from in_order import InOrder
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny_reranker import bert_config, make_reranker, save_tokenizer
from transformers import BertModel

from mixbench.data import Document
from mixbench.errors import CheckpointError, InputError
from mixbench.models.cross_encoder import load_cross_encoder
from mixbench.models.load import model_sha256
from mixbench.retrievers.cross_encoder import CrossEncoderScorer
from mixbench.retrievers.rerank import Reranked


def documents(**texts: str) -> list[Document]:
    return [Document(doc_id, "", text) for doc_id, text in texts.items()]


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
