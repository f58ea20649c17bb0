"""A network that starts as a static model: same embeddings, blocks that add nothing, and its sources kept."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Run, refused
from sentence_transformers import SentenceTransformer
from test_cli_training import write_pairs

from mixbench.models import build_model
from mixbench.models.build import build_mixer_encoder, build_static_encoder, build_transformer_encoder
from mixbench.models.static_start import start_as_static
from mixbench.models.tokenizer import load_tokenizer

TEXTS = ["a wing", "Heat flows through the thin wing of a fast aircraft", "x", "one two three four five six"]
SIZES = {"width": 64, "depth": 4, "context": 32}


@pytest.fixture(scope="module")
def static() -> SentenceTransformer:
    return build_static_encoder(64, load_tokenizer(), seed=5)


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"groups": 4},
        {"heads": 4},
        {"kernel": 3},
        {"causal": False},
        {"attention_every": 2},
        {"mixing": "none"},
    ],
)
def test_a_mixer_embeds_at_first_as_the_static_model_does(
    static: SentenceTransformer, variant: dict[str, object]
) -> None:
    mixer = build_mixer_encoder({**SIZES, **variant}, load_tokenizer(), seed=0)
    start_as_static(mixer, static)
    np.testing.assert_allclose(mixer.encode(TEXTS), static.encode(TEXTS), atol=1e-6)


@pytest.mark.parametrize("variant", [{}, {"groups": 4}, {"heads": 4}, {"attention_every": 2}])
def test_each_branch_learns_from_there(static: SentenceTransformer, variant: dict[str, object]) -> None:
    mixer = build_mixer_encoder({**SIZES, **variant}, load_tokenizer(), seed=0)
    start_as_static(mixer, static)
    optimiser = torch.optim.AdamW(mixer.parameters(), lr=1e-2)
    before = {name: value.clone() for name, value in mixer.state_dict().items()}
    for _ in range(4):
        optimiser.zero_grad()
        embeddings = mixer(mixer.preprocess(TEXTS))["sentence_embedding"]
        (embeddings @ embeddings.T).sum().backward()
        optimiser.step()
    still = [name for name, value in mixer.state_dict().items() if torch.equal(value, before[name])]
    assert still == []


@pytest.mark.parametrize("kind", [{}, {"causal": False}, {"gpt": True}])
def test_a_transformer_starts_with_the_same_embeddings_and_no_branches(
    static: SentenceTransformer, kind: dict[str, bool]
) -> None:
    twin = build_transformer_encoder({**SIZES, "feedforward": 48, **kind}, load_tokenizer(), seed=0)
    start_as_static(twin, static)
    network = twin[0].model
    table, tokens = network.get_input_embeddings().weight, len(load_tokenizer())
    end = load_tokenizer().eos_token_id
    kept = [row for row in range(tokens) if row != end]
    assert torch.equal(table[kept], static[0].embedding.weight[kept])
    assert not table[end].any()
    features = twin.preprocess(TEXTS)
    states = network(
        input_ids=features["input_ids"], attention_mask=features["attention_mask"], output_hidden_states=True
    ).hidden_states
    torch.testing.assert_close(states[1], states[0])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: build_static_encoder(32, load_tokenizer(), seed=0),
            "16384 tokens of 32 channels, the network",
        ),
        (
            lambda: build_mixer_encoder(SIZES, load_tokenizer(), seed=0),
            "it is no static model but MaskedMixer",
        ),
    ],
)
def test_what_does_not_fit_is_refused(other, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        start_as_static(build_mixer_encoder(SIZES, load_tokenizer(), seed=0), other())


def test_a_network_that_pools_its_last_token_is_refused(static: SentenceTransformer) -> None:
    mixer = build_mixer_encoder({**SIZES, "pooling": "lasttoken"}, load_tokenizer(), seed=0)
    with pytest.raises(ValueError, match="must pool by the mean"):
        start_as_static(mixer, static)


def test_training_from_a_static_model_inherits_its_sources(run: Run, tmp_path: Path) -> None:
    first, second = write_pairs(tmp_path / "first.jsonl"), write_pairs(tmp_path / "second.jsonl")
    options = ("--batch-size", 8, "--max-steps", 1, "--dev-pairs", 0)
    assert run("train-retriever", "tiny-static", "--pairs", first, "-o", "static", *options).status == 0
    ended = run("train-retriever", "tiny", "--static", "static", "--pairs", second, "-o", "mixer", *options)
    assert ended.status == 0, ended.err
    record = json.loads(Path("mixer/mixbench.json").read_text())
    assert record["base"] == "tiny from static"
    assert len(record["base_sha256"]) == 64
    made = json.loads(Path("static/mixbench.json").read_text())["command"]
    assert made.startswith("mixbench train-retriever tiny-static --pairs")
    assert record["earlier_commands"] == [made]
    assert f"## Run\n\n    {made}\n    {record['command']}\n" in Path("mixer/README.md").read_text()
    assert sorted(record["training_sources"]) == ["first", "second"]


def test_a_model_with_weights_of_its_own_takes_no_static_one(run: Run, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "p.jsonl")
    ended = run("train-retriever", "mixer-tiny", "--static", "mixer-tiny", "--pairs", pairs, "-o", "out")
    refused(ended, "--static gives the first weights of a preset, and 'mixer-tiny' has weights already")
    ended = run("train-retriever", "tiny", "--static", "mixer-tiny", "--pairs", pairs, "-o", "out")
    refused(ended, "--static 'mixer-tiny': it is no static model but MaskedMixer")


def test_a_static_preset_is_no_network_to_start(static: SentenceTransformer) -> None:
    with pytest.raises(ValueError, match="goes on from it without this"):
        start_as_static(build_model("tiny-static"), static)
