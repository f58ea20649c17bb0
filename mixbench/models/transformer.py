"""The opponents: transformers of the same width and depth, from the transformers library.

`Llama` blocks (RMSNorm, rotary positions, SwiGLU) are the causal twins; `ModernBERT` blocks with full
attention in every layer are the bidirectional one. Both are initialised at random, like the mixer.
"""

import tempfile
from dataclasses import dataclass

from sentence_transformers.base.modules import Transformer
from transformers import (
    LlamaConfig,
    LlamaModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

HEAD_WIDTH = 64


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Shape of an opponent; `feedforward` is the hidden width of its gated feedforward."""

    width: int
    depth: int
    context: int
    vocabulary: int
    feedforward: int
    causal: bool = True


def build_transformer(config: TransformerConfig, tokenizer: PreTrainedTokenizerFast) -> Transformer:
    """Return a random transformer as a sentence-transformers module, reading at most `context` tokens."""
    network = _llama(config, tokenizer) if config.causal else _modern_bert(config, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        module: Transformer = Transformer(folder, max_seq_length=config.context)
        return module


def _llama(config: TransformerConfig, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return LlamaModel(
        LlamaConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.width,
            intermediate_size=config.feedforward,
            num_hidden_layers=config.depth,
            num_attention_heads=config.width // HEAD_WIDTH,
            max_position_embeddings=config.context,
            use_cache=False,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def _modern_bert(config: TransformerConfig, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return ModernBertModel(
        ModernBertConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.width,
            intermediate_size=config.feedforward,
            num_hidden_layers=config.depth,
            num_attention_heads=config.width // HEAD_WIDTH,
            max_position_embeddings=config.context,
            layer_types=["full_attention"] * config.depth,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            cls_token_id=None,
            sep_token_id=None,
        )
    )
