"""From a preset's row to a sentence-transformers encoder: network, pooling, unit length."""

from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from transformers import PreTrainedTokenizerFast

from mixbench.models.mixer import MaskedMixer, MixerConfig
from mixbench.models.transformer import TransformerConfig, build_transformer


def build_mixer_encoder(
    sizes: dict[str, Any], tokenizer: PreTrainedTokenizerFast, seed: int, pooling: str = "lasttoken"
) -> SentenceTransformer:
    """Return an untrained masked mixer; `sizes` are fields of `MixerConfig` but the vocabulary."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixer = MaskedMixer(MixerConfig(vocabulary=len(tokenizer), **sizes), tokenizer)
    return _encoder(mixer, sizes["width"], pooling)


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
