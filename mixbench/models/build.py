"""From a preset's row to a sentence-transformers encoder: network, pooling, unit length."""

import copy
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, StaticEmbedding
from torch import nn
from transformers import PreTrainedTokenizerFast

from mixbench.models.mixer import MaskedMixer
from mixbench.models.mixer_config import POOLINGS, mixer_shape
from mixbench.models.transformer import build_transformer
from mixbench.models.transformer_config import opponent_shape


def build_mixer_encoder(
    sizes: dict[str, Any], tokenizer: PreTrainedTokenizerFast, seed: int, pooling: str = POOLINGS[0]
) -> SentenceTransformer:
    """Return an untrained masked mixer; `sizes` are as in `mixer_shape`, and name the pooling or leave it."""
    config, head = mixer_shape({"pooling": pooling, **sizes}, len(tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixer = MaskedMixer(config, tokenizer)
        return _encoder(mixer, config.width, *head)


def reshape_mixer(model: SentenceTransformer, changes: Mapping[str, Any], seed: int) -> SentenceTransformer:
    """Return the encoder that `model`, a mixer, becomes with `changes`, fields as in `mixer_shape`.

    It keeps the weights of the network. A causal mixer that becomes an unmasked one gives later tokens the
    weight 0, so that it starts from the same states. What is new, a projection, is random.

    Raises:
        ValueError: `model` is no mixer, the fields contradict each other, or its weights do not fit them.
    """
    before = model[0]
    if not isinstance(before, MaskedMixer):
        raise ValueError(f"it is no mixer but {type(before).__name__}")
    sizes = {name: value for name, value in asdict(before.config).items() if name != "vocabulary"}
    dense = next((module for module in model if isinstance(module, Dense)), None)
    sizes |= {"pooling": model[1].pooling_mode, "dimension": None if dense is None else dense.out_features}
    config, head = mixer_shape({**sizes, **changes}, before.config.vocabulary)
    weights = before.state_dict()
    if before.config.causal and not config.causal:
        weights = {
            name: value.tril() if name.endswith("mixing.weight") and "token_mixing" in name else value
            for name, value in weights.items()
        }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixer = MaskedMixer(config, before.tokenizer, min(before.max_seq_length, config.context))
        try:
            mixer.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"its weights do not fit: {' '.join(str(error).split())[:200]}") from error
        shaped = _encoder(mixer, config.width, *head)
    if dense is not None and head.dimension == dense.out_features:
        shaped[2].load_state_dict(dense.state_dict())
    return shaped


def build_static_encoder(width: int, tokenizer: PreTrainedTokenizerFast, seed: int) -> SentenceTransformer:
    """Return random token embeddings, of which a text's embedding is the mean: no network at all.

    The tokens are those that a mixer reads but the end token, however many there are.
    """
    own = copy.deepcopy(tokenizer.backend_tokenizer)  # the module changes the tokenizer that it is given
    own.no_truncation()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embedding = StaticEmbedding(own, embedding_dim=width)
    return SentenceTransformer(modules=[embedding, Normalize()], device="cpu", similarity_fn_name="cosine")


def build_transformer_encoder(
    sizes: dict[str, Any], tokenizer: PreTrainedTokenizerFast, seed: int
) -> SentenceTransformer:
    """Return an untrained transformer; `sizes` are as in `TransformerConfig`, and may name the pooling."""
    config, pooling = opponent_shape(sizes, len(tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_transformer(config, tokenizer)
    return _encoder(network, config.width, pooling)


def _encoder(
    network: InputModule, width: int, pooling: Any, dimension: int | None = None
) -> SentenceTransformer:
    modules: list[nn.Module] = [network, Pooling(width, pooling)]
    if dimension is not None:
        modules.append(Dense(width, dimension, bias=False, activation_function=nn.Identity()))
    modules.append(Normalize())
    return SentenceTransformer(modules=modules, device="cpu", similarity_fn_name="cosine")
