"""Targets: model folders, checkpoints, tokenizers, embeddings of teachers and rows of token ids."""

import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from mixbench.data.texts import text_source
from mixbench.experiments.lineage import read_training
from mixbench.models.build import build_mixer_encoder, build_static_encoder, build_transformer_encoder
from mixbench.models.cross_encoder import load_cross_encoder
from mixbench.models.language_model import LanguageModel
from mixbench.models.late_interaction import load_late_interaction
from mixbench.models.load import load_model, model_sha256
from mixbench.models.tokenizer import END, PAD, read_tokenizer, train_tokenizer
from mixbench.training.language_checkpoint import History, load_checkpoint, make_optimizer, save_checkpoint
from mixbench.training.teacher_store import TeacherCard, TeacherStore, stored_cards
from mixbench.training.tokens import cached_tokens
from mixbench.training.workspace import Workspace

from .target import File, Target

SIZES = {"width": 8, "depth": 1, "context": 8}
DEEP = b"[" * 3000
CARD = TeacherCard(name="teacher", sha256="0" * 64, training_sources=("a",), dimension=3)


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of some 260 tokens."""
    made: Tokenizer = train_tokenizer(["a few words"], 260)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token=PAD, eos_token=END, padding_side="right")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by their names in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def saved(model) -> dict[str, bytes]:
    """Return the files of a saved encoder."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, create_model_card=False)
        return contents(Path(folder))


def folder_of(files: Mapping[str, bytes], read, **more: bytes) -> Target:
    """Return the target of a model folder, of which each file is changed."""
    return Target(
        read=read,
        beside=files,
        files=[
            File(name=name, seeds=[content, *([DEEP] if name.endswith(".json") else [])])
            for name, content in {**files, **more}.items()
        ],
    )


def _open(folder: Path) -> object:
    read_training(folder)
    model_sha256(folder)
    return load_model(folder)


def mixer() -> Target:
    """The folder of a masked mixer with all that may lie in it."""
    model = build_mixer_encoder({**SIZES, "dimension": 4}, tokenizer(), 0)
    language = LanguageModel(model)

    def read(folder: Path) -> object:
        opened = _open(folder)
        return LanguageModel(opened).load_head(folder)  # type: ignore[arg-type]

    record = json.dumps({"training_sources": ["a"]}).encode()
    return folder_of({**saved(model), **language.files(), "mixbench.json": record}, read)


def static() -> Target:
    """The folder of token embeddings without a network."""
    return folder_of(saved(build_static_encoder(8, tokenizer(), 0)), _open)


def transformer() -> Target:
    """The folder of a transformer, opened as an encoder, a cross-encoder and for late interaction."""

    def read(folder: Path) -> object:
        load_late_interaction(folder)
        return _open(folder)

    sizes = {"width": 8, "depth": 1, "context": 8, "feedforward": 8}
    return folder_of(saved(build_transformer_encoder(sizes, tokenizer(), 0)), read)


def cross_encoder() -> Target:
    """The folder of a transformer, opened as a cross-encoder, which it says it is."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig(
        vocab_size=len(tokenizer()), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, num_labels=1, pad_token_id=0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        LlamaForSequenceClassification(config).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        files = contents(Path(folder))
    return folder_of(files, load_cross_encoder)


def vocabulary() -> Target:
    """A tokenizer's file."""
    seed = tokenizer().backend_tokenizer.to_str().encode()
    return Target(
        read=lambda folder: read_tokenizer(folder / "t.json")("some words"),
        files=[File(name="t.json", seeds=[seed, DEEP])],
    )


def checkpoint() -> Target:
    """The checkpoint of a pretraining run, and its plan."""
    model = LanguageModel(build_mixer_encoder(SIZES, tokenizer(), 0))
    optimizer = make_optimizer(model, 1e-3, 0.1)
    model(torch.tensor([[1, 2, 3]])).sum().backward()
    optimizer.step()
    history = History(step=1, seconds=1.0, losses=[(1, 2.0)], validation={1: 2.0}, clock={1: 1.0})
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), model, optimizer, history)
        files = {f".run.training/{name}": content for name, content in contents(Path(folder)).items()}
    files[".run.training/plan.json"] = b'{"seed": 1}'

    def read(folder: Path) -> object:
        found = Workspace(folder / "run").open({"seed": 1}, resume=True)
        return found and load_checkpoint(found, model, optimizer)

    return folder_of(files, read)


def _npy(array: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


def teacher_store() -> Target:
    """A teacher's embeddings: its card, keys and vectors."""
    with tempfile.TemporaryDirectory() as folder:
        store = TeacherStore(Path(folder), CARD)
        store.fill("query", ["a", "b"], lambda side, texts: np.ones((len(texts), 3)))
        files = contents(Path(folder))

    def read(folder: Path) -> object:
        stored_cards(folder)
        store = TeacherStore(folder, CARD)
        return store.gather(store.places_of("query", ["a", "b"]))

    keys = next(name for name in files if name.endswith("keys.npy"))
    pickled = _npy(np.array([{}], dtype=object))
    target = folder_of(files, read)
    return replace(target, files=[*target.files, File(name=keys, seeds=[files[keys], pickled])])


def token_rows() -> Target:
    """The row of token ids that a text becomes, kept between runs."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.txt").write_bytes(b"a few words")
        cached_tokens([text_source(f"{folder}/t.txt")], tokenizer(), Path(folder) / "cache")
        files = contents(Path(folder))

    def read(folder: Path) -> object:
        found = cached_tokens([text_source(str(folder / "t.txt"))], tokenizer(), folder / "cache")
        return found.sum()

    kept = next(name for name in files if name.startswith("cache"))
    return Target(
        read=read,
        beside=files,
        files=[
            File(name=kept, seeds=[files[kept], _npy(np.array([{}], dtype=object)), _npy(np.ones((2, 2)))])
        ],
    )
