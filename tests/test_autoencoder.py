"""Pretraining as an autoencoder: what reaches the decoder, learning, resuming, and the encoder's folder."""

import json
import math
from pathlib import Path

import pytest
import torch
from command import Run, refused
from safetensors.torch import load_file
from tiny_language import CONTEXT, tiny_encoder, tiny_text, tiny_tokenizer, write_text

from mixbench.errors import InputError
from mixbench.models.autoencoder import Autoencoder, unrolled
from mixbench.models.build import build_mixer_encoder
from mixbench.models.load import load_model
from mixbench.training.language_config import PretrainConfig
from mixbench.training.language_loss import HeadLoss, token_loss
from mixbench.training.language_record import TextRead
from mixbench.training.pretrain import pretrain
from mixbench.training.record import Origin


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def text(tokenizer, tmp_path: Path) -> TextRead:
    return tiny_text(tokenizer, tmp_path)


def train(output: Path, tokenizer, text: TextRead, kind: str = "right", **changes):
    options = {key: changes.pop(key) for key in ("resume", "overwrite") if key in changes}
    stated = {"max_steps": 6, "batch_size": 4, "eval_every": 2, "seed": 3, **changes}
    config = PretrainConfig(objective="autoencoder", **stated)
    model = tiny_encoder(tokenizer, kind)
    pretrain(model, Autoencoder(model, config.seed), text, config, output, origin=Origin(base="t"), **options)
    return load_file(output / "model.safetensors"), json.loads((output / "mixbench.json").read_text())


@pytest.mark.parametrize("kind", ["right", "groups", "twin", "gpt"])
def test_a_decoder_reads_one_embedding_and_first_guesses_among_all_tokens(tokenizer, kind) -> None:
    ids_BW = torch.randint(2, 300, (16, CONTEXT + 1), generator=torch.manual_seed(0))
    model = tiny_encoder(tokenizer, kind).eval()
    halves = Autoencoder(model).eval()
    z_BTd = halves.states.encoder(ids_BW[:, :-1]).mean(1, keepdim=True).expand(-1, CONTEXT, -1).contiguous()
    assert torch.equal(halves.states.decoder(z_BTd), halves.states(ids_BW[:, :-1]))
    own = token_loss(halves.states, HeadLoss(halves.head), ids_BW, halves.ahead).item()
    assert own == pytest.approx(math.log(len(tokenizer)), abs=1.0)
    logits_NV = halves.head(halves.states(ids_BW[:, :-1])).flatten(0, 1)
    cross = torch.nn.functional.cross_entropy(logits_NV, ids_BW[:, :-1].flatten()).item()
    assert own == pytest.approx(cross, abs=1e-5)


def test_an_encoder_that_pools_the_last_token_hands_on_its_state(tokenizer) -> None:
    sizes = {"width": 32, "depth": 2, "context": CONTEXT, "pooling": "lasttoken"}
    model = build_mixer_encoder(sizes, tokenizer, 0)
    halves = Autoencoder(model)
    ids_BT = torch.randint(2, 300, (3, CONTEXT), generator=torch.manual_seed(0))
    z_BTd = halves.states.encoder(ids_BT)[:, -1:].expand(-1, CONTEXT, -1)
    assert torch.equal(halves.states.decoder(z_BTd.contiguous()), halves.states(ids_BT))


@pytest.mark.parametrize("tokens", [5, 32, 100])
def test_an_unrolled_embedding_is_turned_by_as_many_places_as_its_position(tokens) -> None:
    z_Bd = torch.randn(2, 32, generator=torch.manual_seed(0))
    turned = torch.stack([z_Bd.roll(-position, dims=1) for position in range(tokens)], dim=1)
    assert torch.equal(unrolled(z_Bd, tokens), turned)


@pytest.mark.parametrize("kind", ["right", "twin"])
def test_a_llama_tells_positions_apart_only_where_the_embedding_is_unrolled(tokenizer, kind) -> None:
    ids_BT = torch.randint(2, 300, (3, CONTEXT), generator=torch.manual_seed(0))
    model = tiny_encoder(tokenizer, kind).eval()
    repeated_BTd = Autoencoder(model).eval().states(ids_BT)
    alike = torch.allclose(repeated_BTd, repeated_BTd[:, :1].expand_as(repeated_BTd), atol=1e-5)
    assert alike == (kind == "twin")
    halves = Autoencoder(model, unrolled=True).eval()
    z_Bd = halves.states.encoder(ids_BT).mean(1)
    assert torch.equal(halves.states.decoder(unrolled(z_Bd, CONTEXT).contiguous()), halves.states(ids_BT))
    assert not torch.allclose(halves.states(ids_BT)[:, 0], halves.states(ids_BT)[:, 1], atol=1e-2)


def test_the_encoder_learns_and_another_seed_is_another_decoder(tmp_path, tokenizer, text) -> None:
    pace = {"max_steps": 80, "eval_every": 40, "learning_rate": 0.01}
    weights, record = train(tmp_path / "out", tokenizer, text, **pace)
    losses = dict(record["validation_loss"])
    assert losses[80] < 0.75 * losses[0]
    before = tiny_encoder(tokenizer)[0].state_dict()
    assert all(not torch.equal(weights[name], before[name]) for name in before)
    assert record["config"]["objective"] == "autoencoder"
    model = tiny_encoder(tokenizer)
    one, other = (dict(Autoencoder(model, seed).states.decoder.named_parameters()) for seed in (0, 1))
    name = "blocks.0.token_mixing.weight"
    assert not torch.equal(one[name], other[name])


@pytest.mark.parametrize("kind", ["right", "twin"])
def test_a_run_stopped_after_every_step_equals_a_straight_one(tmp_path, tokenizer, text, kind) -> None:
    straight, record = train(tmp_path / "straight", tokenizer, text, kind)
    train(tmp_path / "steps", tokenizer, text, kind, max_minutes=1e-9)
    for _ in range(5):
        resumed, stopped = train(tmp_path / "steps", tokenizer, text, kind, max_minutes=1e-9, resume=True)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert (stopped["steps"], stopped["validation_loss"]) == (6, record["validation_loss"])


def test_the_command_unrolls_where_that_is_asked(tmp_path, run: Run) -> None:
    path = write_text(tmp_path / "things.txt")
    small = ("--set", "context=16", "--set", "width=32", "--set", "depth=1", "--max-steps", "1")
    losses = {}
    for objective in ("autoencoder", "unrolled-autoencoder"):
        out = tmp_path / objective
        run("pretrain", "tiny", *small, "-o", out, "--text", path, "--objective", objective)
        record = json.loads((out / "mixbench.json").read_text())
        assert record["config"]["objective"] == objective
        losses[objective] = record["validation_loss"][0]
    assert losses["autoencoder"] != losses["unrolled-autoencoder"]


def test_the_folder_is_an_encoder_and_no_language_model(tmp_path, tokenizer, text, run: Run) -> None:
    train(tmp_path / "out", tokenizer, text)
    assert load_model(tmp_path / "out").encode(["a red cat"]).shape == (1, 32)
    assert not (tmp_path / "out" / "head.safetensors").exists()
    assert "The encoder of an autoencoder" in (tmp_path / "out" / "README.md").read_text()
    refused(run("generate", str(tmp_path / "out"), "the"), "has no language head")


def test_what_cannot_be_an_autoencoder_is_refused(tmp_path, tokenizer, run: Run) -> None:
    projected = build_mixer_encoder({"width": 32, "depth": 1, "context": 8, "dimension": 16}, tokenizer, 0)
    with pytest.raises(InputError, match="leave out dimension"):
        Autoencoder(projected)
    with pytest.raises(InputError, match="does not look back only"):
        Autoencoder(tiny_encoder(tokenizer, "bi-twin"))
    path = write_text(tmp_path / "things.txt")
    ended = run("pretrain", "tiny", "-o", tmp_path / "x", "--text", path, "--objective", "both")
    refused(ended, "objective must be next-token or autoencoder or unrolled-autoencoder, not 'both'")
