"""Retention: what a decoder rebuilds of a text from its one embedding, and the controls beside it."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command import Run, refused
from tiny_language import DOCUMENTS, tiny_encoder, tiny_tokenizer
from torch import Tensor, nn

from mixbench.errors import InputError, UnknownName
from mixbench.models.decoder import MixerDecoder, build_decoder
from mixbench.models.untrained import untrained_copy
from mixbench.probes.learning import shift_and_scale
from mixbench.probes.retention import (
    Embedded,
    RetentionSettings,
    guess_without_embedding,
    log_frequencies,
    measure_retention,
)

TOKENS, VOCABULARY, WORDS = 4, 12, 3
SETTINGS = RetentionSettings(steps=400, batch_size=16, rate=1e-2)


def decoder(dimension: int) -> MixerDecoder:
    return build_decoder(dimension, torch.zeros(VOCABULARY), tokens=TOKENS, width=32, depth=2)


def some_texts(texts: int, seed: int) -> Tensor:
    """Return texts (N, T) whose t-th token is one of three of its own."""
    words_NT = torch.randint(0, WORDS, (texts, TOKENS), generator=torch.Generator().manual_seed(seed))
    return words_NT + WORDS * torch.arange(TOKENS)


def whole(ids_NT: Tensor) -> Embedded:
    """Embed texts so that nothing is lost: an indicator of each token, far from 0 and of a tiny scale."""
    indicators = torch.nn.functional.one_hot(ids_NT, VOCABULARY).sum(1).float()
    return Embedded(5 + 1e-3 * indicators, ids_NT)


def halved(ids_NT: Tensor) -> Embedded:
    """Embed the first half of each text alone."""
    return Embedded(whole(ids_NT[:, : TOKENS // 2]).embeddings_ND, ids_NT)


def accuracy(texts: list) -> float:
    return sum(text.accuracy for text in texts) / len(texts)


def test_an_embedding_that_holds_every_token_lets_all_of_them_be_rebuilt() -> None:
    found = measure_retention(
        decoder(VOCABULARY), whole(some_texts(300, 0)), whole(some_texts(40, 1)), SETTINGS
    )
    assert len(found) == 40
    assert accuracy(found) == 1
    assert max(text.cross_entropy for text in found) < 0.1


@pytest.mark.parametrize("mean", [0.0, 16.0])
def test_a_dimension_that_only_rounding_changes_is_left_out(mean: float) -> None:
    drawn_ND = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    rounded_N = mean + 1e-7 * max(1.0, mean) * drawn_ND[:, 2].sign()
    _, scale_3 = shift_and_scale(torch.stack([drawn_ND[:, 0], 1e-3 * drawn_ND[:, 1], rounded_N], dim=1))
    assert scale_3[2] == 0
    assert scale_3[:2].tolist() == pytest.approx([1, 1000], rel=0.2)


def test_in_bf16_as_much_is_rebuilt() -> None:
    training, held_out = whole(some_texts(300, 0)), whole(some_texts(40, 1))
    settings = replace(SETTINGS, precision="bf16")
    assert accuracy(measure_retention(decoder(VOCABULARY), training, held_out, settings)) == 1
    with pytest.raises(UnknownName, match="unknown precision 'fp8'"):
        replace(SETTINGS, precision="fp8")


def test_of_tokens_that_the_embedding_does_not_hold_only_the_frequencies_are_rebuilt() -> None:
    training, held_out = halved(some_texts(300, 0)), halved(some_texts(200, 1))
    found = measure_retention(decoder(VOCABULARY), training, held_out, SETTINGS)
    assert accuracy(found) == pytest.approx((1 + 1 / WORDS) / 2, abs=0.05)
    mean = sum(text.cross_entropy for text in found) / len(found)
    assert mean == pytest.approx(math.log(WORDS) / 2, abs=0.1)


def test_positions_are_told_apart_although_all_of_them_read_the_same_embedding() -> None:
    made = decoder(VOCABULARY)
    nn.init.normal_(made.head.weight, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits_BTV = made(torch.ones(1, TOKENS, VOCABULARY))
    assert logits_BTV.shape == (1, TOKENS, VOCABULARY)
    assert torch.pdist(logits_BTV[0]).min() > 1e-2


def test_a_decoder_starts_with_the_frequencies_that_are_guessed_without_an_embedding() -> None:
    training, held_out = whole(some_texts(50, 0) // 2), whole(some_texts(9, 1))
    made = build_decoder(
        VOCABULARY, log_frequencies(training.ids_NT, VOCABULARY), tokens=TOKENS, width=8, depth=1
    )
    found = measure_retention(made, training, held_out, RetentionSettings(steps=1, rate=1e-12))
    guessed = guess_without_embedding(training, held_out, VOCABULARY)
    assert [text.accuracy for text in found] == [text.accuracy for text in guessed]
    for one, other in zip(found, guessed, strict=True):
        assert one.cross_entropy == pytest.approx(other.cross_entropy, rel=1e-5)


def test_without_an_embedding_the_most_frequent_token_is_guessed() -> None:
    training = Embedded(torch.zeros(2, 1), torch.tensor([[0, 0, 0, 1], [0, 0, 1, 2]]))
    (text,) = guess_without_embedding(training, Embedded(torch.zeros(1, 1), torch.tensor([[0, 3, 1, 0]])), 4)
    shares = [6 / 12, 1 / 12, 3 / 12, 6 / 12]
    assert text.accuracy == 0.5
    assert text.cross_entropy == pytest.approx(-sum(map(math.log, shares)) / 4)


def test_the_same_seed_gives_the_same_and_another_another_order_of_texts() -> None:
    training, held_out = whole(some_texts(50, 0)), whole(some_texts(5, 1))
    runs = [
        measure_retention(decoder(VOCABULARY), training, held_out, RetentionSettings(steps=9, seed=seed))
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_the_rate_rises_then_falls_along_a_line() -> None:
    settings = RetentionSettings(steps=20, rate=1.0)
    assert [settings.rate_at(step) for step in (0, 1, 2, 11, 19)] == pytest.approx([0.5, 1, 1, 0.5, 1 / 18])


def test_what_cannot_be_measured_is_refused() -> None:
    texts = whole(some_texts(4, 0))
    none = Embedded(texts.embeddings_ND[:0], texts.ids_NT[:0])
    with pytest.raises(InputError, match="texts to train on and others"):
        measure_retention(decoder(VOCABULARY), texts, none, SETTINGS)
    with pytest.raises(InputError, match="embeddings are not finite"):
        measure_retention(
            decoder(VOCABULARY), texts._replace(embeddings_ND=1 / (0 * texts[0])), texts, SETTINGS
        )
    broken = decoder(VOCABULARY)
    nn.init.constant_(broken.head.weight, float("inf"))
    with pytest.raises(InputError, match=r"diverged at step 0; take a lower rate than 0\.01"):
        measure_retention(broken, texts, texts, SETTINGS)
    for wrong in ({"steps": 0}, {"batch_size": 0}, {"rate": 0.0}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))} must be"):
            RetentionSettings(**wrong)


@pytest.mark.parametrize("kind", ["right", "twin", "gpt"])
def test_an_untrained_copy_has_the_weights_that_its_network_starts_with(tmp_path: Path, kind: str) -> None:
    tokenizer = tiny_tokenizer(tmp_path)
    model = tiny_encoder(tokenizer, kind)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copies = [untrained_copy(model, seed) for seed in (1, 1, 2)]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    embeddings = [torch.tensor(each.encode(DOCUMENTS[:2])) for each in (model, *copies)]
    assert torch.equal(embeddings[1], embeddings[2])
    assert not torch.allclose(embeddings[0], embeddings[1], atol=1e-3)
    assert not torch.allclose(embeddings[1], embeddings[3], atol=1e-3)
    for name, value in copies[0].state_dict().items():
        if value.is_floating_point() and value.numel() > 1000:
            assert float(value.std()) == pytest.approx(float(before[name].std()), rel=0.1), name


# The verb

SMALL = ("--length", 6, "--texts", 20, "--held-out", 5, "--steps", 3, "--width", 8, "--depth", 1)


def test_each_model_stands_beside_its_untrained_copy_and_the_guess_without_an_embedding(run: Run) -> None:
    ended = run("retention", "mixer-tiny", *SMALL, "-o", "made/retention.json", "--json")
    rows = json.loads(ended.out)["rows"]
    assert [row["encoder"] for row in rows] == [
        "mixer-tiny",
        "mixer-tiny, untrained",
        "mixer-tiny, no embedding",
    ]
    for row in rows:
        assert row["texts"] == 5
        assert row["cross_entropy"]["low"] <= row["cross_entropy"]["mean"] <= row["cross_entropy"]["high"]
        mean = row["cross_entropy"]["mean"]
        assert row["retained"] == pytest.approx(1 - mean / math.log(16_384))
    record = json.loads(Path("made/retention.json").read_text())
    assert record["rows"] == rows
    assert record["settings"]["tokens"] == 6
    assert record["models"] == {"mixer-tiny": record["models"]["mixer-tiny"]}
    assert record["provenance"]["seed"] == 0


def test_the_decoder_learns_in_the_precision_that_is_asked_for(run: Run) -> None:
    exact, rough = (
        json.loads(run("retention", "mixer-tiny", *SMALL, "--json", "--precision", precision).out)["rows"]
        for precision in ("fp32", "bf16")
    )
    trained = [
        (one["cross_entropy"], other["cross_entropy"]) for one, other in zip(exact, rough, strict=True)
    ]
    assert all(one != other for one, other in trained[:2])
    assert trained[2][0] == trained[2][1]  # the guess learns nothing


def test_a_preset_is_its_own_untrained_control(run: Run) -> None:
    ended = run("retention", "tiny-twin", *SMALL)
    assert ended.status == 0, ended.err
    assert [line for line in ended.out.splitlines() if "untrained-tiny-twin" in line]
    assert "untrained-tiny-twin, untrained" not in ended.out
    assert "no embedding" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bm25"], "'bm25' has no token embeddings to probe"),
        (["tiny-static"], "a model of StaticEmbedding has no layers"),
        (["tiny", "--length", "256"], "256 tokens and 1 special ones do not fit the 256"),
        (["tiny", "--texts", "9999999"], "stdlib-code: "),
    ],
)
def test_what_has_no_retention_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    refused(run("retention", *arguments, "-o", "out"), message)
