"""The GPT-2 opponent: what its states may depend on, its operations, its files, its text and its scores."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Run, evaluate
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from tiny_language import CONTEXT, DOCUMENTS, tiny_encoder, tiny_language, tiny_tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.models.gpt2.modeling_gpt2 import GPT2Model
from transformers.utils import logging

from mixbench.data.retrieval_data import Document
from mixbench.errors import InputError
from mixbench.models import build_model
from mixbench.models.build import build_transformer_encoder
from mixbench.models.language_model import LanguageModel
from mixbench.models.load import load_model
from mixbench.results import find_results
from mixbench.retrievers.dense import DenseRetriever
from mixbench.training.language_loss import HeadLoss, token_loss

WIDTH, DEPTH = 64, 2
TEXTS = ["", "wing", "the red cat is a cat", DOCUMENTS[3], 9 * DOCUMENTS[4]]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def gpt(tokenizer: PreTrainedTokenizerFast) -> SentenceTransformer:
    return tiny_encoder(tokenizer, "gpt")


def test_it_is_gpt_2_with_learned_positions_without_dropout_and_with_fused_attention() -> None:
    network = build_model("tiny-gpt")[0].auto_model
    assert type(network) is GPT2Model
    config = network.config
    assert (config.n_embd, config.n_layer, config.n_head, config.n_positions) == (256, 4, 4, 256)
    assert tuple(network.wpe.weight.shape) == (256, 256)
    assert tuple(network.h[0].mlp.c_fc.weight.shape) == (256, 1024)
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0, 0, 0)
    assert config._attn_implementation == "sdpa"


def test_its_activation_is_gpt_2s_own(gpt: SentenceTransformer) -> None:
    x = torch.linspace(-5, 5, 101)
    by_hand = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    assert (gpt[0].auto_model.h[0].mlp.act(x) - by_hand).abs().max() < 1e-6


@pytest.mark.parametrize("kind", ["twin", "wide-twin", "gpt"])
def test_a_causal_opponent_makes_no_mask_of_padding_and_its_embeddings_are_those_with_one(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, kind: str
) -> None:
    built = tiny_encoder(tokenizer, kind)
    built.save(str(tmp_path / "model"))
    library = SentenceTransformer(str(tmp_path / "model"), device="cpu", local_files_only=True)
    for model in (built, load_model(tmp_path / "model")):
        seen = []
        network, whole = model[0].auto_model, model[0].auto_model.forward
        network.forward = lambda *, whole=whole, seen=seen, **named: (
            seen.append(named["attention_mask"]) or whole(**named)
        )
        assert np.allclose(model.encode(TEXTS), library.encode(TEXTS), atol=1e-6)
        assert seen == [None] * len(seen)
        assert seen


@pytest.mark.parametrize("kind", ["twin", "gpt"])
def test_a_causal_network_that_its_settings_let_read_both_ways_is_opened_as_such(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, kind: str
) -> None:
    model = tiny_encoder(tokenizer, kind)
    backwards = model.encode(TEXTS)
    model[0].auto_model.config.is_causal = False
    model.save(str(tmp_path / "model"))
    library = SentenceTransformer(str(tmp_path / "model"), device="cpu", local_files_only=True)
    both_ways = library.encode(TEXTS)
    if np.allclose(both_ways, backwards, atol=1e-3):
        pytest.skip("this release of transformers knows no such setting")
    opened = load_model(tmp_path / "model")
    assert np.allclose(opened.encode(TEXTS), both_ways, atol=1e-6)
    with pytest.raises(InputError, match="does not look back only"):
        LanguageModel(opened)


def test_a_network_that_reads_both_ways_keeps_its_mask(tokenizer: PreTrainedTokenizerFast) -> None:
    model = tiny_encoder(tokenizer, "bi-twin")
    network, whole, seen = model[0].auto_model, model[0].auto_model.forward, []
    network.forward = lambda **named: seen.append(named["attention_mask"]) or whole(**named)
    model.encode(TEXTS)
    assert [mask.dim() for mask in seen] == [2]


def test_training_mode_changes_no_state(tokenizer: PreTrainedTokenizerFast) -> None:
    language = tiny_language(tokenizer, "gpt")
    ids = torch.randint(2, 250, (3, CONTEXT), generator=torch.manual_seed(0))
    assert torch.equal(language.train().states(ids), language.eval().states(ids))


def test_no_state_depends_on_later_tokens_and_the_others_do(tokenizer: PreTrainedTokenizerFast) -> None:
    language = tiny_language(tokenizer, "gpt")
    ids = torch.randint(2, 250, (4, CONTEXT), generator=torch.manual_seed(0))
    changed = ids.clone()
    changed[:, 6] = (ids[:, 6] + 1) % 200 + 2
    with torch.inference_mode():
        difference_T = (language.states(ids) - language.states(changed)).abs().amax((0, 2))
    assert difference_T[:6].max() == 0
    assert difference_T[6:].min() > 1e-4


def test_a_state_depends_on_the_order_of_the_tokens_before(tokenizer: PreTrainedTokenizerFast) -> None:
    states = tiny_language(tokenizer, "gpt").states
    with torch.inference_mode():
        one, other = states(torch.tensor([[5, 9, 40, 7], [9, 5, 40, 7]]))[:, -1]
    assert (one - other).abs().max() > 1e-4


def test_an_embedding_depends_on_no_other_text_of_its_batch(gpt: SentenceTransformer) -> None:
    alone = np.stack([gpt.encode(text) for text in TEXTS])
    lengths = gpt.preprocess(TEXTS)["attention_mask"].sum(1).tolist()
    assert (lengths[0], lengths[-1], len({*lengths})) == (1, CONTEXT, 4)
    for batch in (TEXTS, TEXTS[::-1]):
        together = gpt.encode(batch, batch_size=len(TEXTS))
        expected = alone if batch is TEXTS else alone[::-1]
        assert np.abs(together - expected).max() < 1e-6
    assert np.abs(alone[0] - alone[1]).max() > 0.01


def test_what_stands_in_the_padding_is_never_read(gpt: SentenceTransformer) -> None:
    features = gpt.preprocess(["wing", DOCUMENTS[0]])
    assert features["attention_mask"][0].tolist() == sorted(features["attention_mask"][0].tolist())[::-1]
    noise = features["input_ids"].where(features["attention_mask"] == 1, 77)
    assert not torch.equal(noise, features["input_ids"])
    with torch.inference_mode():
        first = gpt(dict(features))["sentence_embedding"]
        second = gpt({**features, "input_ids": noise})["sentence_embedding"]
    assert torch.equal(first, second)


def test_the_embedding_is_the_unit_mean_of_the_texts_states(gpt: SentenceTransformer) -> None:
    features = gpt.preprocess(["wing", DOCUMENTS[0]])
    last = int(features["attention_mask"][0].sum()) - 1
    assert features["input_ids"][0, last] == gpt.tokenizer.eos_token_id
    with torch.inference_mode():
        mean_d = gpt[0](dict(features))["token_embeddings"][0, : last + 1].mean(0)
    found = gpt.encode("wing", convert_to_tensor=True)
    assert (found - mean_d / mean_d.norm()).abs().max() < 1e-6


@pytest.mark.parametrize("seed", [0, 1])
def test_the_first_loss_is_that_of_guessing_among_all_tokens(
    tokenizer: PreTrainedTokenizerFast, seed: int
) -> None:
    ids = torch.randint(2, 300, (32, CONTEXT + 1), generator=torch.manual_seed(seed))
    language = tiny_language(tokenizer, "gpt", seed)
    loss = token_loss(language.states, HeadLoss(language.head), ids).item()
    assert loss == pytest.approx(math.log(len(tokenizer)), abs=0.05)


def test_a_saved_model_is_read_again_exactly_from_safetensors(
    gpt: SentenceTransformer, tmp_path: Path
) -> None:
    gpt.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    again = load_model(tmp_path / "model", offline=True)
    assert type(again[0].auto_model) is GPT2Model
    assert (again.max_seq_length, again.tokenizer.padding_side) == (CONTEXT, "right")
    assert again.encode(TEXTS).tobytes() == gpt.encode(TEXTS).tobytes()
    suffixes = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}
    assert "auto_map" not in (tmp_path / "model" / "config.json").read_text()
    stored = load_file(tmp_path / "model" / "model.safetensors")
    assert sum(value.numel() for value in stored.values()) == sum(value.numel() for value in gpt.parameters())
    again.save_pretrained(str(tmp_path / "again"), create_model_card=False)
    written = load_file(tmp_path / "again" / "model.safetensors")
    assert written.keys() == stored.keys()
    assert all(torch.equal(written[name], value) for name, value in stored.items())


def test_operations_are_those_of_the_layers_products_on_the_tokens_there_are(
    gpt: SentenceTransformer,
) -> None:
    retriever = DenseRetriever(gpt, name="gpt", model_sha256="0" * 64)
    texts = ["wing", "the red cat"]
    retriever.index([Document(str(number), "", text) for number, text in enumerate(texts)])

    def worked_out(tokens: int) -> int:
        projections = 2 * tokens * 12 * WIDTH * WIDTH
        attention = 2 * 2 * tokens * tokens * WIDTH
        return DEPTH * (projections + attention)

    lengths = [len(row) for row in gpt.tokenizer(texts)["input_ids"]]
    assert lengths[0] != lengths[1]
    assert retriever.flops_per_document == sum(map(worked_out, lengths)) // 2


def test_blocks_of_gpt_2_that_look_both_ways_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    sizes = {"width": 64, "depth": 1, "context": 8, "feedforward": 256, "causal": False, "gpt": True}
    with pytest.raises(ValueError, match="look back only"):
        build_transformer_encoder(sizes, tokenizer, 0)


def test_it_is_evaluated_and_its_parameters_and_operations_are_in_the_result(run: Run) -> None:
    evaluate(run, "-m", "tiny-gpt", "-t", "tiny")
    (result,) = find_results(Path("out"))
    assert (result.model, result.costs.parameters) == ("untrained-tiny-gpt", 7_419_392)
    assert (result.costs.flops_per_document or 0) > 2 * 4 * 12 * 256 * 256


def test_building_one_shows_no_bars_and_leaves_those_of_others_as_they_were(capfd) -> None:
    shown = logging.is_progress_bar_enabled()
    build_model("tiny-gpt", seed=0)
    assert capfd.readouterr().err == ""
    assert logging.is_progress_bar_enabled() == shown
