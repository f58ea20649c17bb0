"""Batches made ahead: what a model reads is what its own preprocessing gives, bit by bit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from mixbench.experiments.systems import minilm_folder
from mixbench.models import build_model
from mixbench.retrievers.tokenising import AHEAD, TRIED, tokenising_ahead

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
PAST_THE_CONTEXT = "a wing in a slipstream " * 200
TEXTS = [
    "",
    "Ünïcödé 龍 🐉",
    PAST_THE_CONTEXT,
    " ",
    *("lift and drag " * (at % 11) + str(at) for at in range(90)),
]


def opened(name: str) -> SentenceTransformer:
    if name == "minilm":
        return SentenceTransformer(str(minilm_folder()), device="cpu", local_files_only=True)
    preset, _, side = name.partition(" padded on the ")
    model = build_model(preset, seed=0)
    if side:
        model.tokenizer.padding_side = side
    return model


@contextmanager
def seen_by(model: SentenceTransformer) -> Iterator[tuple[list[dict[str, Any]], list[int]]]:
    """Collect what the network is given, and the number of texts of each call of its own preprocessing."""
    given: list[dict[str, Any]] = []
    asked: list[int] = []
    own = model[0].preprocess

    def counted(inputs: list[str], **settings: Any) -> dict[str, Any]:
        asked.append(len(inputs))
        return own(inputs, **settings)

    model[0].preprocess = counted
    hook = model[0].register_forward_pre_hook(lambda _, inputs: given.append(dict(inputs[0])))
    try:
        yield given, asked
    finally:
        hook.remove()
        del model[0].preprocess


def same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == value.dtype and torch.equal(found[name], value)
        if isinstance(value, Tensor)
        else found[name] == value
        for name, value in expected.items()
    )


def encode(model: SentenceTransformer, texts: list[str], prompt: str | None, batch_size: int = 8) -> Tensor:
    return model.encode_query(texts, prompt=prompt, batch_size=batch_size, convert_to_tensor=True)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("prompt", [None, "", "query: "])
@pytest.mark.parametrize(
    "name",
    ["tiny", "tiny padded on the left", "tiny-twin", "tiny-gpt padded on the left", "tiny-static", "minilm"],
)
def test_batches_made_ahead_are_those_of_the_model(name: str, prompt: str | None, device: str) -> None:
    model = opened(name).to(device)
    texts = TEXTS[:40] if name == "minilm" else TEXTS
    with seen_by(model) as (expected, _):
        embeddings = encode(model, texts, prompt)
    with seen_by(model) as (given, asked), tokenising_ahead(model, texts, 8):
        found = encode(model, texts, prompt)
    assert asked == [len(texts[:: len(texts) // TRIED]) + 1]
    assert len(given) == len(expected) > AHEAD
    assert all(map(same, given, expected))
    assert torch.equal(found, embeddings) if device == "cpu" else torch.allclose(found, embeddings, atol=1e-6)
    assert "preprocess" not in vars(model)


@pytest.mark.parametrize("tokens", [1, 5])
def test_the_length_is_that_of_the_model_at_the_time(tokens: int) -> None:
    model = build_model("tiny", seed=0)
    encode(model, TEXTS, None)
    model.max_seq_length = tokens
    with seen_by(model) as (given, _), tokenising_ahead(model, TEXTS, 8):
        found = encode(model, TEXTS, None)
    assert max(features["input_ids"].shape[1] for features in given) == tokens
    assert torch.equal(found, encode(model, TEXTS, None))


def test_dimensions_are_cut_as_ever() -> None:
    model = build_model("tiny", seed=0)
    model.truncate_dim = 5
    with tokenising_ahead(model, TEXTS, 8):
        found = encode(model, TEXTS, None)
    assert found.shape == (len(TEXTS), 5)
    assert torch.equal(found, encode(model, TEXTS, None))


@pytest.mark.parametrize("texts", [[], ["a wing"], TEXTS[: 2 * TRIED]])
def test_few_texts_are_left_to_the_model(texts: list[str]) -> None:
    model = build_model("tiny", seed=0)
    with seen_by(model) as (_, asked), tokenising_ahead(model, texts, 8):
        found = encode(model, texts, None)
    assert sum(asked) == len(texts)
    assert torch.equal(found, encode(model, texts, None))


def test_what_another_preprocessing_makes_of_texts_is_kept() -> None:
    model = build_model("tiny", seed=0)
    own = model[0].preprocess
    model[0].preprocess = lambda inputs, **settings: own([text[::-1] for text in inputs], **settings)
    with seen_by(model) as (_, asked), tokenising_ahead(model, TEXTS, 8):
        found = encode(model, TEXTS, None)
    assert sum(asked) > len(TEXTS)
    model[0].preprocess = own
    assert torch.equal(found, encode(model, [text[::-1] for text in TEXTS], None))


def test_padding_to_a_multiple_is_left_to_the_model() -> None:
    model = build_model("tiny-twin", seed=0)
    model[0].processing_kwargs = {"text": {"pad_to_multiple_of": 8}}
    with seen_by(model) as (given, asked), tokenising_ahead(model, TEXTS, 8):
        encode(model, TEXTS, None)
    assert sum(asked) > len(TEXTS)
    assert {features["input_ids"].shape[1] % 8 for features in given} == {0}


def test_other_batches_than_those_made_are_tokenised_by_the_model() -> None:
    model = build_model("tiny", seed=0)
    for texts, batch_size in ((TEXTS[::-1], 8), (TEXTS, 5)):
        with tokenising_ahead(model, TEXTS, 8):
            found = encode(model, texts, None, batch_size)
        assert torch.equal(found, encode(model, texts, None, batch_size))


def test_an_error_ends_the_encoding_and_leaves_the_model_as_it_was() -> None:
    model = build_model("tiny", seed=0)
    runs = iter(range(3))

    def fail(*_: object) -> None:
        if next(runs, None) is None:
            raise RuntimeError("no memory left")

    hook = model[0].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="no memory left"), tokenising_ahead(model, TEXTS, 8):
        encode(model, TEXTS, None)
    hook.remove()
    assert "preprocess" not in vars(model)
    with pytest.raises(TypeError), tokenising_ahead(model, [*TEXTS, "\ud800"], 8):
        encode(model, [*TEXTS, "\ud800"], None)
    with tokenising_ahead(model, TEXTS, 8):
        found = encode(model, TEXTS, None)
    assert torch.equal(found, encode(model, TEXTS, None))
