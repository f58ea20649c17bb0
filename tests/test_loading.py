"""Opening model folders: ours exactly, damaged ones refused in a line, and no code but ours is run."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from mixbench.errors import CheckpointError, InputError
from mixbench.experiments.lineage import read_training_sources
from mixbench.experiments.systems import MINILM_SOURCES, EncoderOptions, open_system
from mixbench.models.build import build_mixer_encoder
from mixbench.models.load import load_model, model_folder, model_sha256
from mixbench.models.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from mixbench.retrievers.dense import DenseRetriever
from mixbench.training.record import model_card

TEXTS = ["the lift of a wing", "drag", ""]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save_tokenizer(train_tokenizer(2 * TEXTS, 300), folder / "tokenizer.json")
    sizes = {"width": 16, "depth": 1, "context": 8}
    model = build_mixer_encoder(sizes, load_tokenizer(folder / "tokenizer.json"), seed=0)
    model.save(str(folder / "model"))
    return folder / "model"


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def marking_code(marker: Path) -> str:
    return (
        f"import pathlib\npathlib.Path({str(marker)!r}).touch()\nclass Evil:\n    load = classmethod(print)\n"
    )


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Foreign code


@pytest.mark.parametrize(
    "kind", ["evil.Evil", "os.system", "mixbench.evil.Evil", "mixbench.models.load.Path"]
)
def test_a_foreign_module_beside_a_mixer_is_refused_and_its_code_never_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    marker = tmp_path / "ran"
    (folder / "evil.py").write_text(marking_code(marker))
    monkeypatch.syspath_prepend(str(folder))
    entry = {"idx": 3, "name": "3", "path": "", "type": kind}
    edit_json(folder / "modules.json", lambda entries: [*entries, entry])
    assert f"modules.json: module '{kind}' is not one that a mixer is built of" in refusal(folder)
    assert not marker.exists()


def test_a_foreign_module_named_like_one_of_sentence_transformers_never_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    (folder / "evil.py").write_text(marking_code(marker))
    (folder / "sentence_transformers").mkdir()
    (folder / "sentence_transformers" / "evil.py").write_text(marking_code(marker))
    monkeypatch.syspath_prepend(str(folder))
    entry = {"idx": 3, "name": "3", "path": "2_Normalize", "type": "sentence_transformers.evil.Normalize"}
    edit_json(folder / "modules.json", lambda entries: [*entries[:2], entry])
    load_model(folder)  # our Normalize is read in its place
    assert not marker.exists()


def test_a_folder_of_foreign_modules_alone_is_refused_and_its_code_never_runs(
    folder: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    (folder / "evil.py").write_text(marking_code(marker))
    entry = {"idx": 0, "name": "0", "path": "", "type": "evil.Evil"}
    edit_json(folder / "modules.json", lambda entries: [entry])
    refusal(folder)
    assert not marker.exists()


def test_a_model_that_names_its_own_code_in_its_configuration_never_runs_it(tmp_path: Path) -> None:
    marker, folder = tmp_path / "ran", tmp_path / "remote"
    folder.mkdir()
    (folder / "evil.py").write_text(marking_code(marker))
    remote = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
    (folder / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": remote}))
    refusal(folder)
    assert not marker.exists()


class Marking:
    """Pickles as a call that touches a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_pickled_weights_are_never_read_for_a_mixer(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.bin", "model.pt"):
        (folder / name).write_bytes(pickle.dumps(Marking(marker)))
    assert "model.bin: pickled weights are never read" in refusal(folder)
    assert not marker.exists()
    pickle.loads((folder / "model.pt").read_bytes())
    assert marker.exists()  # so the pickle would have told


# Damage


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def configure(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "mixer_config.json", lambda config: config | changes)


def rewrite(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


def drop_weight(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["blocks.0.token_mixing.bias"]
    save_file(state, folder / "model.safetensors")


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "weights cut off": (cut("model.safetensors", 500), "no masked mixer can be read here"),
    "weights empty": (cut("model.safetensors", 0), "no masked mixer can be read here"),
    "weights missing": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
    "one weight missing": (drop_weight, "blocks.0.token_mixing.bias"),
    "configuration missing": (lambda folder: (folder / "mixer_config.json").unlink(), "mixer_config.json"),
    "configuration cut off": (cut("mixer_config.json", 30), "no masked mixer can be read here"),
    "configuration a list": (rewrite("mixer_config.json", "[1]"), "no masked mixer can be read here"),
    "another width": (
        configure(width=32),
        "'embedding.weight' has shape (276, 16), by mixer_config.json it has (276, 32)",
    ),
    "another depth": (configure(depth=2), "blocks.1."),
    "another context": (
        configure(context=16, max_seq_length=16),
        "'blocks.0.token_mixing.weight' has shape (8, 8), by mixer_config.json it has (16, 16)",
    ),
    "a width that is a word": (configure(width="wide"), "no masked mixer can be read here"),
    "an unknown key": (configure(heads=4), "heads"),
    "another alignment": (configure(alignment="middle"), "alignment must be 'left' or 'right', not 'middle'"),
    "a length beyond the context": (configure(max_seq_length=9), "must lie in 1 to 8"),
    "fewer words than the tokenizer": (
        configure(vocabulary=100),
        "the tokenizer has 276 tokens, the mixer 100",
    ),
    "tokenizer missing": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
    "tokenizer damaged": (cut("tokenizer.json", 200), "tokenizer.json"),
    "modules cut off": (cut("modules.json", 40), "cannot be opened as a model"),
    "modules a list of names": (rewrite("modules.json", '["mixer"]'), "no list of modules"),
    "modules without types": (rewrite("modules.json", '[{"idx": 0}]'), "no list of modules"),
    "modules with odd types": (rewrite("modules.json", '[{"type": 7, "path": ""}]'), "no list of modules"),
    "a depth of a million": (configure(depth=10**6), "has 1000000 blocks, model.safetensors "),
    "a width of a million": (configure(width=10**6), "by mixer_config.json it has (276, 1000000)"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_folder_is_refused_in_one_line_that_names_it(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    load_model(folder)
    damage(folder)
    found = refusal(folder)
    assert message in found
    assert len(found) < len(str(folder)) * 2 + 450


@pytest.mark.parametrize("name", ["no-such-model", "no-such-org/no-such-model", "not a name!"])
def test_a_name_that_is_no_folder_and_not_on_the_hub_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match="is no folder here and the hub does not give it"):
        model_folder(name, offline=True)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_in_one_line(saved: Path, device: str) -> None:
    with pytest.raises(InputError, match=rf"device '{device}' cannot be used .*; try --device cpu") as caught:
        load_model(saved, device=device)
    assert "\n" not in str(caught.value)


# What is whole


def test_a_plain_sentence_transformer_opens_as_it_does_elsewhere(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = train_tokenizer(2 * TEXTS, 300)
    weights = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
    model.save(str(tmp_path / "static"))
    assert (load_model(tmp_path / "static").encode(TEXTS) == model.encode(TEXTS)).all()


def test_prompts_and_similarity_survive(folder: Path) -> None:
    model = load_model(folder)
    model.prompts = {"query": "find: ", "document": ""}
    model.save(str(folder))
    again = load_model(folder)
    assert again.prompts == {"query": "find: ", "document": ""}
    assert again.similarity_fn_name == "cosine"
    assert (again.encode_query(["drag"]) == model.encode(["find: drag"])).all()
    assert (again.encode_query(["drag"]) != again.encode_document(["drag"])).any()


def test_the_shipped_mixer_loads_offline_and_is_small() -> None:
    folder = model_folder("mixer-tiny", offline=True)
    assert (folder / "model.safetensors").stat().st_size < 12_000_000
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 12_000_000
    model = load_model("mixer-tiny", offline=True)
    embeddings = model.encode(["what lifts a wing?", "The lift of a wing in flight.", "Baking bread."])
    assert embeddings.shape == (3, 256)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert embeddings[0] @ embeddings[1] > embeddings[0] @ embeddings[2] + 0.2


def test_a_folder_with_the_name_of_the_shipped_mixer_is_opened_by_its_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.rename(tmp_path / "mixer-tiny")
    monkeypatch.chdir(tmp_path)
    retriever = open_system("./mixer-tiny", EncoderOptions())
    assert isinstance(retriever, DenseRetriever)
    assert retriever.model.get_embedding_dimension() == 16
    assert retriever.model_sha256 == model_sha256(tmp_path / "mixer-tiny")
    assert load_model(Path("mixer-tiny")).get_embedding_dimension() == 16
    assert load_model("mixer-tiny").get_embedding_dimension() == 256


def test_the_shipped_mixer_has_the_shipped_tokenizer_and_a_card() -> None:
    folder = model_folder("mixer-tiny")
    assert load_tokenizer(folder / "tokenizer.json").get_vocab() == load_tokenizer().get_vocab()
    card = (folder / "README.md").read_text()
    record = json.loads((folder / "mixbench.json").read_text())
    assert all(command in card for command in (*record["earlier_commands"], record["command"]))
    assert f"{record['seconds']:.0f} s" in card
    assert record["base_sha256"] in card
    assert record["teacher_sha256"] in card
    assert all(source["sha256"] in card and source["licence"] in card for source in record["sources"])
    names = "SQuAD", "arXiv", "MedQuAD", "Princeton", "SciTLDR", "repositories", "Project Gutenberg"
    assert all(name in source["licence"] for name, source in zip(names, record["sources"], strict=False))
    assert card == model_card("mixer-tiny", record)


# Identity


def test_a_hash_is_that_of_the_files_that_decide_embeddings(folder: Path, tmp_path: Path) -> None:
    before = model_sha256(folder)
    assert before == model_sha256(folder)
    assert before == model_sha256(Path(shutil.copytree(folder, tmp_path / "elsewhere")))
    (folder / "README.md").write_text("Another card.")
    (folder / "mixbench.json").write_text("{}")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "state.json").write_text("{}")
    assert model_sha256(folder) == before


@pytest.mark.parametrize("change", [configure(max_seq_length=4), cut("tokenizer.json", 900)])
def test_a_hash_differs_with_settings_and_tokenizer(folder: Path, change: Callable[[Path], None]) -> None:
    before = model_sha256(folder)
    change(folder)
    assert model_sha256(folder) != before


def test_a_hash_differs_with_one_weight(folder: Path) -> None:
    before = model_sha256(folder)
    state = load_file(folder / "model.safetensors")
    state["embedding.weight"][5, 3] += 1e-3
    save_file(state, folder / "model.safetensors")
    assert model_sha256(folder) != before


def test_a_folder_without_model_files_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no model files"):
        model_sha256(tmp_path)


def test_training_sources_are_those_of_the_folders_own_record(folder: Path) -> None:
    shipped = read_training_sources(model_folder("mixer-tiny"))
    assert shipped is not None
    assert shipped[-7:] == ("squad", "arxiv", "medquad", "wordnet", "scitldr", "code", "gutenberg")
    assert shipped[:-7] == MINILM_SOURCES  # its teacher's
    assert read_training_sources(folder) is None
    (folder / "mixbench.json").write_text('{"training_sources": ["a", "b"]}')
    assert read_training_sources(folder) == ("a", "b")


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"training_sources": null}', '{"training_sources": 3}'])
def test_a_damaged_training_record_is_refused_rather_than_taken_for_no_training(
    folder: Path, record: str
) -> None:
    (folder / "mixbench.json").write_text(record)
    with pytest.raises(CheckpointError, match=r"mixbench\.json: no training record can be read here"):
        read_training_sources(folder)
