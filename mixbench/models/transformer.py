"""The opponents: transformers of the same width and depth, from the transformers library.

`Llama` blocks (RMSNorm, rotary positions, SwiGLU) are the causal twins; `ModernBERT` blocks with full
attention in every layer are the bidirectional one. GPT-2's blocks (LayerNorm, learned positions, GELU,
biases) are the causal opponent of a generation before. All are initialised at random, like the mixer.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sentence_transformers.base.modules import Transformer
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.gpt2 import GPT2Config, GPT2Model
from transformers.models.llama import LlamaConfig, LlamaModel
from transformers.models.modernbert import ModernBertConfig, ModernBertModel
from transformers.utils import logging

from mixbench.models.transformer_config import TransformerConfig

CAUSAL = (LlamaModel, GPT2Model)
"""Networks in which a token sees none after it, unless their settings say that they are not causal."""


def build_transformer(config: TransformerConfig, tokenizer: PreTrainedTokenizerFast) -> Transformer:
    """Return a random transformer as a sentence-transformers module, reading at most `context` tokens."""
    build = _gpt if config.gpt else _llama if config.causal else _modern_bert
    network = build(config, tokenizer)
    with tempfile.TemporaryDirectory() as folder, _no_progress_bars():
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        module: Transformer = Transformer(folder, max_seq_length=config.context)
    leave_out_padding_mask(module)
    return module


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Hide the library's bars: nobody waits for a model that is written and read on the way."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def looks_back_only(network: nn.Module) -> bool:
    """Return whether `network` is one of the library's transformers in which no token sees one after it."""
    return type(network) in CAUSAL and bool(getattr(network.config, "is_causal", True))


def leave_out_padding_mask(module: nn.Module) -> None:
    """Let a causal transformer with padding on the right attend by position alone; leave others as they are.

    No token of a text sees what comes after it, so its states are the same. The library would make a mask
    (B, 1, T, T) of the padding, for which attention has a slower kernel. The module is saved as it was.
    """
    if not isinstance(module, Transformer):
        return
    side = getattr(module.tokenizer, "padding_side", None)
    if looks_back_only(module.auto_model) and side == "right":
        module.register_forward_pre_hook(_without_padding_mask, with_kwargs=True)


def _without_padding_mask(
    module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Override what the network is handed; pooling still finds the mask among the features."""
    return arguments, {**named, "attention_mask": None}


def _llama(config: TransformerConfig, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return LlamaModel(
        LlamaConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.width,
            intermediate_size=config.feedforward,
            num_hidden_layers=config.depth,
            num_attention_heads=config.attention_heads,
            max_position_embeddings=config.context,
            use_cache=False,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def _gpt(config: TransformerConfig, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return GPT2Model(
        GPT2Config(
            vocab_size=config.vocabulary,
            n_embd=config.width,
            n_inner=config.feedforward,
            n_layer=config.depth,
            n_head=config.attention_heads,
            n_positions=config.context,
            activation_function="gelu_pytorch_tanh",  # GPT-2's formula, in one kernel and not in seven
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            # GPT-2 has no pad token. Told of one, the model would look for it in the ids at each pass, for
            # which a GPU must wait; padding on the right is later than all that a text's states see.
            pad_token_id=None,
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
            num_attention_heads=config.attention_heads,
            max_position_embeddings=config.context,
            layer_types=["full_attention"] * config.depth,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            cls_token_id=None,
            sep_token_id=None,
        )
    )
