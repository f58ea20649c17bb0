"""What a probe reads of real encoders: states that are the model's own, and tokens found in them again."""

import pytest
import torch
from sentence_transformers import SentenceTransformer
from tiny_language import CONTEXT, tiny_encoder, tiny_tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.models.bert import BertConfig, BertModel

from mixbench.errors import InputError
from mixbench.models.build import build_static_encoder
from mixbench.models.states import TransformerStates, open_states
from mixbench.probes.forms import FairForm, PaperForm
from mixbench.probes.inversion import Inversion

CAUSAL = ["left", "right", "groups", "twin", "gpt"]
BOTH_WAYS = ["unmasked", "bi-twin"]
NORMS = {"twin": "norm", "gpt": "ln_f", "bi-twin": "final_norm"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def some_ids(texts: int = 2, tokens: int = 10) -> Tensor:
    return torch.randint(2, 250, (texts, tokens), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def own_states(model: SentenceTransformer, ids: Tensor) -> Tensor:
    return model[0]({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["token_embeddings"]


@pytest.mark.parametrize("kind", [*CAUSAL, *BOTH_WAYS])
def test_the_last_states_are_the_models_own_before_its_final_norm(
    tokenizer: PreTrainedTokenizerFast, kind: str
) -> None:
    model, ids = tiny_encoder(tokenizer, kind), some_ids()
    read = open_states(model)
    assert (read.layers, read.context) == (2, CONTEXT)
    with torch.no_grad():
        found = read.states(read.embedding(ids), 2)
        if kind in NORMS:
            found = getattr(model[0].auto_model, NORMS[kind])(found)
    assert torch.allclose(found, own_states(model, ids), atol=1e-5)


@pytest.mark.parametrize("kind", ["twin", "gpt", "bi-twin"])
def test_states_of_a_lower_layer_are_those_that_transformers_gives(
    tokenizer: PreTrainedTokenizerFast, kind: str
) -> None:
    model, ids = tiny_encoder(tokenizer, kind), some_ids()
    read = open_states(model)
    with torch.no_grad():
        own = model[0].auto_model(input_ids=ids, output_hidden_states=True).hidden_states
        found = read.states(read.embedding(ids), 1)
    assert torch.allclose(found, own[1], atol=1e-6)


@pytest.mark.parametrize("kind", ["left", "right", "groups"])
def test_a_mixers_states_of_a_layer_are_what_its_next_block_reads(
    tokenizer: PreTrainedTokenizerFast, kind: str
) -> None:
    model = tiny_encoder(tokenizer, kind)
    read, reads = open_states(model), []
    model[0].blocks[1].register_forward_pre_hook(lambda _, inputs: reads.append(inputs[0]))
    x = read.embedding(some_ids())
    first = read.states(x, 1)
    assert reads == []
    read.states(x, 2)
    assert torch.equal(first, reads[0])


@pytest.mark.parametrize("kind", [*CAUSAL, *BOTH_WAYS])
@pytest.mark.parametrize("layer", [1, 2])
def test_noise_on_later_tokens_reaches_earlier_states_only_where_the_model_looks_ahead(
    tokenizer: PreTrainedTokenizerFast, kind: str, layer: int
) -> None:
    read = open_states(tiny_encoder(tokenizer, kind))
    with torch.no_grad():
        x = read.embedding(some_ids())
        noisy = x.clone()
        noisy[:, 6:] += torch.randn(x[:, 6:].shape, generator=torch.Generator().manual_seed(1))
        change_T = (read.states(x, layer) - read.states(noisy, layer)).abs().amax((0, 2))
    assert change_T[6:].min() > 1e-3
    if kind in CAUSAL:
        assert change_T[:6].max() < 1e-6
    else:
        assert change_T[:6].min() > 1e-4


def test_layers_above_are_not_run_and_nothing_stays_behind(tokenizer: PreTrainedTokenizerFast) -> None:
    model = tiny_encoder(tokenizer, "twin")
    read, ran = open_states(model), []
    last = model[0].auto_model.layers[1]
    last.register_forward_hook(lambda *_: ran.append(1))
    x = read.embedding(some_ids())
    read.states(x, 1)
    assert ran == []
    read.states(x, 2)
    assert ran == [1]
    assert len(last._forward_hooks) == 1
    assert own_states(model, some_ids()).shape == (2, 10, 64)


def test_a_bert_of_transformers_is_inverted_too() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    bert = BertModel(BertConfig(vocab_size=300, max_position_embeddings=12, **sizes), add_pooling_layer=False)
    inversion = Inversion(TransformerStates(bert, 12), FairForm(steps=200))
    found = inversion.invert(some_ids(), layer=1)
    assert min(text.top1 for text in found) > 0.5
    assert found == inversion.invert(some_ids(), layer=1), "dropout is off"


@pytest.mark.parametrize("kind", ["right", "twin"])
def test_the_papers_form_inverts_either_family_at_deviation_one_and_neither_at_a_small_one(
    tokenizer: PreTrainedTokenizerFast, kind: str
) -> None:
    ham = {}
    for deviation in (1.0, 0.005):
        read = open_states(tiny_encoder(tokenizer, kind))
        torch.nn.init.normal_(read.embedding.weight, 0, deviation, generator=torch.Generator().manual_seed(1))
        texts = Inversion(read, PaperForm(noise=0.0)).invert(some_ids(), layer=2)
        ham[deviation] = [text.ham for text in texts]
    assert max(ham[1.0]) <= 0.1
    assert min(ham[0.005]) >= 0.5


def test_a_model_without_layers_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InputError, match="a model of StaticEmbedding has no layers"):
        open_states(build_static_encoder(16, tokenizer, 0))


def test_a_network_without_token_embeddings_is_refused() -> None:
    bert = BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    bert.set_input_embeddings(torch.nn.Identity())
    with pytest.raises(InputError, match="BertModel has no token embeddings"):
        TransformerStates(bert, 8)
    bert = BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    bert.encoder.layer = torch.nn.Sequential(*bert.encoder.layer)
    with pytest.raises(InputError, match="no list of 1 layers"):
        TransformerStates(bert, 8)
