"""From a preset's row to a sentence-transformers encoder: network, pooling, unit length."""

import copy
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding
from transformers import PreTrainedTokenizerFast

from mixbench.models.mixer import MaskedMixer
from mixbench.models.mixer_config import mixer_shape
from mixbench.models.transformer import TransformerConfig, build_transformer


def build_mixer_encoder(
    sizes: dict[str, Any], tokenizer: PreTrainedTokenizerFast, seed: int, pooling: str = "lasttoken"
) -> SentenceTransformer:
    """Return an untrained masked mixer; `sizes` are as in `mixer_shape`, and name the pooling or leave it."""
    config, pooling = mixer_shape({"pooling": pooling, **sizes}, len(tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixer = MaskedMixer(config, tokenizer)
    return _encoder(mixer, config.width, pooling)


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
    """Return an untrained transformer, pooled at its last token, or by the mean where it is bidirectional."""
    config = TransformerConfig(vocabulary=len(tokenizer), **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_transformer(config, tokenizer)
    return _encoder(network, config.width, "lasttoken" if config.causal else "mean")


def _encoder(network: InputModule, width: int, pooling: Any) -> SentenceTransformer:
    modules = [network, Pooling(width, pooling), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu", similarity_fn_name="cosine")
