"""Batches made ahead: what a model reads is what its own preprocessing gives, bit by bit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import enumerate as threads
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from mixbench.experiments.systems import minilm_folder
from mixbench.models import build_model
from mixbench.models.mixer import MaskedMixer
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
    kind = type(model[0])
    own = kind.preprocess

    @wraps(own)
    def counted(self: Any, inputs: list[str], **settings: Any) -> dict[str, Any]:
        asked.append(len(inputs))
        return own(self, inputs, **settings)

    hook = model[0].register_forward_pre_hook(lambda _, inputs: given.append(dict(inputs[0])))
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(kind, "preprocess", counted)
            yield given, asked
    finally:
        hook.remove()


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


class Unmarked(MaskedMixer):
    """Reads one text that no sample holds in a way of its own."""

    def preprocess(self, inputs: list[str], prompt: str | None = None, **rest: Any) -> dict[str, Tensor]:
        return super().preprocess([without_brackets(text) for text in inputs], prompt, **rest)


def without_brackets(text: str) -> str:
    return text.strip("<>")


def of_the_module(model: SentenceTransformer) -> None:
    model[0].__class__ = Unmarked


def of_the_object(model: SentenceTransformer) -> None:
    own = model.preprocess
    model.preprocess = lambda inputs, **rest: own([without_brackets(text) for text in inputs], **rest)


@pytest.mark.parametrize("change", [of_the_module, of_the_object])
def test_what_another_preprocessing_makes_of_a_few_texts_is_kept(change: Callable[..., None]) -> None:
    model = build_model("tiny", seed=0)
    rare = "<<<lift and drag>>>"
    texts = [*TEXTS[:50], rare, *TEXTS[50:]]
    place = sorted(texts, key=len, reverse=True).index(rare)
    assert place % (len(texts) // TRIED)  # no text of the sample
    expected = encode(model, [without_brackets(text) for text in texts], None)
    change(model)
    kept = vars(model).get("preprocess")
    with tokenising_ahead(model, texts, 8):
        found = encode(model, texts, None)
    assert torch.allclose(found, expected, atol=1e-6)
    assert vars(model).get("preprocess") is kept


@pytest.mark.parametrize("part", ["model", "module", "tokenizer"])
def test_a_class_that_may_change_any_step_on_the_way_is_left_to_itself(part: str) -> None:
    model = build_model("tiny-twin", seed=0)
    changed = {"model": model, "module": model[0], "tokenizer": model.tokenizer}[part]
    changed.__class__ = type("Unknown", (type(changed),), {"__module__": "elsewhere"})
    with seen_by(model) as (_, asked), tokenising_ahead(model, TEXTS, 8):
        found = encode(model, TEXTS, None)
    assert sum(asked) == len(TEXTS)
    assert torch.equal(found, encode(build_model("tiny-twin", seed=0), TEXTS, None))


def test_what_is_given_beside_the_ids_of_each_text_is_left_to_the_model() -> None:
    class Weighted(MaskedMixer):
        only_tokenises = True

        def preprocess(self, inputs: list[str], prompt: str | None = None, **rest: Any) -> dict[str, Any]:
            return {**super().preprocess(inputs, prompt, **rest), "weights": [len(text) for text in inputs]}

    model = build_model("tiny", seed=0)
    model[0].__class__ = Weighted
    with seen_by(model) as (given, _), tokenising_ahead(model, TEXTS, 8):
        encode(model, TEXTS, None)
    assert [len(features["weights"]) for features in given] == [
        len(features["input_ids"]) for features in given
    ]


@pytest.mark.parametrize("multiple", [None, 8])
def test_a_tokenizer_that_the_model_holds_itself_pads_as_before(multiple: int | None) -> None:
    class Held(MaskedMixer):
        only_tokenises = True

        def preprocess(self, inputs: list[str], prompt: str | None = None, **_: Any) -> dict[str, Tensor]:
            rows = self.tokenizer.encode_batch([f"{prompt or ''}{text}" for text in inputs])
            ids, masks = ([getattr(row, name) for row in rows] for name in ("ids", "attention_mask"))
            return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(masks)}

    model = build_model("tiny", seed=0)
    backend = model.tokenizer.backend_tokenizer
    backend.enable_padding(pad_to_multiple_of=multiple)
    backend.enable_truncation(model.max_seq_length)
    model[0].__class__, model[0].tokenizer = Held, backend
    expected, padding = encode(model, TEXTS, None), backend.padding
    with tokenising_ahead(model, TEXTS, 8):
        found = encode(model, TEXTS, None)
    assert torch.equal(found, expected)
    assert backend.padding == padding


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
    before = {thread for thread in threads() if "ThreadPool" in thread.name}
    with pytest.raises(RuntimeError, match="no memory left"), tokenising_ahead(model, TEXTS, 8):
        encode(model, TEXTS, None)
    assert {thread for thread in threads() if "ThreadPool" in thread.name} == before
    hook.remove()
    assert "preprocess" not in vars(model)
    with pytest.raises(TypeError), tokenising_ahead(model, [*TEXTS, "\ud800"], 8):
        encode(model, [*TEXTS, "\ud800"], None)
    with tokenising_ahead(model, TEXTS, 8):
        found = encode(model, TEXTS, None)
    assert torch.equal(found, encode(model, TEXTS, None))
