"""Start a network as a trained static model: its token embeddings, and blocks that add nothing at first.

The mean of token embeddings is the control that a network must beat. A mixer that starts here embeds as the
control does, but for rounding and for what stands beyond its context; what training then adds is what the
network is worth. Transformers start from the same embeddings, which their own norms change.
"""

import re
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import Tensor

from mixbench.models.mixer import MaskedMixer
from mixbench.models.tokenizer import END

BRANCH_ENDS = re.compile(
    r"(token_mixing\.(weight|bias)|out_of_heads\.weight|attention\.out\.weight|channel_mixing\.2\.(weight|bias)"
    r"|(o_proj|down_proj)\.weight|c_proj\.(weight|bias)|\bWo\.weight)$"
)
"""Weights of mixers, Llama, GPT-2 and ModernBERT whose zeros leave a block's input as it is."""


def start_as_static(model: SentenceTransformer, static: SentenceTransformer) -> None:
    """Put the token embeddings of `static` into `model`, whose blocks then add 0; the end token's are 0.

    Raises:
        ValueError: `static` is no static model or `model` is one, it does not pool by the mean, or their
            tokens or widths differ.
    """
    if not isinstance(static[0], StaticEmbedding):
        raise ValueError(f"it is no static model but {type(static[0]).__name__}")
    if isinstance(model[0], StaticEmbedding):
        raise ValueError("a static model goes on from it without this, by its folder")
    if model[1].pooling_mode != "mean":
        raise ValueError(
            "the network must pool by the mean, since its last token starts at 0; set pooling=mean"
        )
    own, new = _embeddings(model[0]), static[0].embedding.weight
    if own.shape != new.shape or model.tokenizer.get_vocab() != static[0].tokenizer.get_vocab():
        raise ValueError(
            f"it has {new.shape[0]} tokens of {new.shape[1]} channels, the network {own.shape[0]} of"
            f" {own.shape[1]}; both need one tokenizer and one width"
        )
    with torch.no_grad():
        own.copy_(new)
        own[model.tokenizer.get_vocab()[END]] = 0
        for name, value in model[0].named_parameters():
            if BRANCH_ENDS.search(name):
                value.zero_()


def _embeddings(network: Any) -> Tensor:
    table = network.embedding if isinstance(network, MaskedMixer) else network.model.get_input_embeddings()
    weight: Tensor = table.weight
    return weight
