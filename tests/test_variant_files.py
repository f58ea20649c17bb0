"""Variants of the mixer and the static control: saved, shrunk and read again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_variants import SHAPES, TEXTS, make
from torch import nn
from transformers import PreTrainedTokenizerFast

from mixbench.models import STATIC, build_model
from mixbench.models.build import build_static_encoder
from mixbench.models.load import load_model, model_folder, model_sha256
from mixbench.models.storage import expand, shrink, shrink_folder
from mixbench.models.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    save_tokenizer(train_tokenizer(2 * TEXTS, 400), path)
    return load_tokenizer(path)


# Files


@pytest.mark.parametrize("shape", SHAPES)
def test_a_variant_is_saved_and_read_again_exactly(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, shape: str
) -> None:
    model = make(tokenizer, shape, "left")
    model.save(str(tmp_path / "model"))
    again = load_model(tmp_path / "model")
    assert again[0].config == model[0].config
    weights = again.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert float(np.abs(again.encode(TEXTS) - model.encode(TEXTS)).max()) == 0.0
    again.save(str(tmp_path / "again"))
    assert model_sha256(tmp_path / "again") == model_sha256(tmp_path / "model")


def test_a_plain_mixer_is_stored_as_before_there_were_variants(tmp_path: Path) -> None:
    shipped = model_folder("mixer-tiny")
    load_model(shipped).save(str(tmp_path))
    assert (tmp_path / "mixer_config.json").read_bytes() == (shipped / "mixer_config.json").read_bytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_shrunk_weights_of_a_variant_differ_by_at_most_half_a_step_of_their_row(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, shape: str
) -> None:
    model = make(tokenizer, shape)
    state = model[0].state_dict()
    small = shrink(state)
    full = expand(small)
    assert full.keys() == state.keys()
    for name, value in state.items():
        assert small[name].dtype == (torch.int8 if value.ndim > 1 else torch.float16)
        largest = value.abs().amax(-1, keepdim=True) if value.ndim > 1 else value.abs()
        bound = largest * (0.5 / 127 + 2**-11) if value.ndim > 1 else largest * 2**-11
        assert ((full[name] - value).abs() <= bound + 1e-7).all(), name
    model.save(str(tmp_path))
    shrink_folder(tmp_path)
    loaded = load_model(tmp_path)
    assert all(torch.equal(value, full[name]) for name, value in loaded[0].state_dict().items())


# The static control


def test_a_static_embedding_is_the_mean_of_its_tokens_vectors(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer(TEXTS, padding=True, truncation=True, max_length=3)  # leaves both in the shared tokenizer
    model = build_static_encoder(16, tokenizer, seed=3)
    (table,) = (part.weight for part in model.modules() if isinstance(part, nn.EmbeddingBag))
    assert table.shape == (len(tokenizer), 16)
    found = model.encode(TEXTS)
    for text, embedding in zip(TEXTS[1:], found[1:], strict=True):
        ids = tokenizer(text)["input_ids"]
        assert ids.pop() == tokenizer.eos_token_id
        mean = table[ids].mean(0).detach()
        np.testing.assert_allclose(embedding, mean / mean.norm(), atol=1e-6)
    assert (found[0] == 0).all()  # a text without tokens is like none
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(found, alone, atol=1e-6)


def test_a_static_embedding_is_saved_and_read_again_exactly(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = build_static_encoder(16, tokenizer, seed=3)
    model.save(str(tmp_path / "model"))
    again = load_model(tmp_path / "model")
    assert float(np.abs(again.encode(TEXTS) - model.encode(TEXTS)).max()) == 0.0
    again.save(str(tmp_path / "again"))
    assert model_sha256(tmp_path / "again") == model_sha256(tmp_path / "model")


@pytest.mark.parametrize("preset", STATIC)
def test_a_seed_fixes_a_static_preset(preset: str) -> None:
    first, again, other = (build_model(preset, seed=seed).state_dict() for seed in (5, 5, 6))
    (name,) = first
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    assert first[name].shape == (16_384, STATIC[preset]["width"])
