"""Batches: chunks of like length, each text tokenised once, the same embeddings as by the model itself."""

import pytest
import torch
from test_training import Words, words

from mixbench.errors import InputError
from mixbench.models import build_model
from mixbench.training.collating import Collator, Layout, chunk_bounds, embed, tokens_at_once, tokens_for

TEXTS = ["one", "a much longer text about token mixing in several words", "", "two words", "one"]


def column(model, texts=TEXTS, **settings):
    collator = Collator(
        model, {"query": texts}, settings.pop("prompts", {}), whole=settings.pop("whole", False)
    )
    for name, value in settings.items():
        setattr(collator, name, value)
    return collator([{"row": row} for row in range(len(texts))])["columns"][0]


@pytest.mark.parametrize("preset", ["tiny", "tiny-twin", "tiny-static"])
@pytest.mark.parametrize("prompt", [None, "query: "])
def test_a_batch_has_the_embeddings_that_the_model_gives(preset, prompt):
    model = build_model(preset, seed=0).eval()
    made = column(model, prompts={"query": prompt}, most=64)
    assert len(made["chunks"]) == (1 if preset == "tiny-static" else 3)
    with torch.no_grad():
        ours = embed(model, made)
    expected = model.encode(TEXTS, prompt=prompt, convert_to_tensor=True)
    assert torch.allclose(ours, expected, atol=1e-5)


def test_one_chunk_holds_a_whole_column_for_a_loss_that_cuts_it():
    made = column(words(), ["red cat", "red", "red cat dog"], whole=True, most=1)
    assert [chunk["input_ids"].shape for chunk in made["chunks"]] == [(3, 8)]
    assert made["chunks"][0]["attention_mask"].sum(1).tolist() == [3, 2, 1]
    assert made["order"].tolist() == [1, 2, 0]


def test_chunks_hold_no_more_tokens_than_told_and_at_least_one_text():
    assert chunk_bounds([17, 16, 15, 8, 7], most=32) == [(0, 1), (1, 3), (3, 5)]
    assert chunk_bounds([100, 1], most=8) == [(0, 1), (1, 2)]
    assert chunk_bounds([0, 0], most=16) == [(0, 1), (1, 2)]


def test_a_chunk_ends_before_texts_that_would_be_mostly_padding_once_it_is_a_quarter_full():
    assert chunk_bounds([16, 16, 12, 11, 9], most=128) == [(0, 3), (3, 5)]
    assert chunk_bounds([16, 11, 11, 11], most=128) == [(0, 2), (2, 4)]


def test_a_text_is_tokenised_once(monkeypatch):
    seen, preprocess = [], Words.preprocess

    def spy(self, inputs, prompt=None, **rest):
        seen.extend(inputs)
        return preprocess(self, inputs, prompt, **rest)

    monkeypatch.setattr(Words, "preprocess", spy)
    collator = Collator(words(), {"query": ["red", "blue"], "positive": ["RED", "red"]}, {}, whole=False)
    seen.clear()
    for _ in range(2):
        collator([{"row": 0}, {"row": 1}])
    assert seen == ["red", "blue", "RED"]


def test_padding_stands_on_the_tokenizers_side():
    texts = [torch.tensor([5, 6]).numpy(), torch.tensor([7]).numpy()]
    right, left = (Layout(flat=False, padding=9, left=left).features(texts) for left in (False, True))
    assert right["input_ids"].tolist() == [[5, 6, *[9] * 6], [7, *[9] * 7]]
    assert left["input_ids"].tolist() == [[*[9] * 6, 5, 6], [*[9] * 7, 7]]
    assert left["attention_mask"].tolist() == [[*[0] * 6, 1, 1], [*[0] * 7, 1]]


def test_a_model_that_reads_more_than_token_ids_is_refused(monkeypatch):
    preprocess = Words.preprocess
    monkeypatch.setattr(Words, "preprocess", lambda *a, **k: preprocess(*a, **k) | {"pixel_values": 1})
    with pytest.raises(InputError, match=r"Words reads more than token ids \(pixel_values\)"):
        column(words(), ["red"])


@pytest.mark.parametrize(
    ("gib", "tokens"),
    [(1, 4_096), (15.6, 16_384), (23.6, 32_768), (39.4, 65_536), (79.2, 131_072), (139.8, 131_072)],
)
def test_a_chunk_holds_what_suits_the_memory_of_the_gpu(gib: float, tokens: int) -> None:
    assert tokens_for(int(gib * 2**30)) == tokens


def test_a_chunk_is_small_on_a_cpu() -> None:
    assert tokens_at_once(torch.device("cpu")) == 4_096
