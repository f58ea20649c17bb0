"""What an encoder does for a text: the tokens that it reads, and the operations of its forward pass."""

import math
from collections.abc import Sequence

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import nn

from mixbench.errors import InputError
from mixbench.models.language_model import LanguageModel
from mixbench.retrievers.flops import count_flops

TOKENISED_AT_ONCE = 256
PASSES = 3
"""Of a step's matrix products: the backward pass multiplies each of the forward's twice."""


def count_tokens(model: SentenceTransformer, texts: Sequence[str]) -> int:
    """Return the tokens of `texts` as `model` reads them: cut to its length, the end token included."""
    starts = range(0, len(texts), TOKENISED_AT_ONCE)
    return sum(_tokens(model, texts[start : start + TOKENISED_AT_ONCE]) for start in starts)


def forward_flops(model: SentenceTransformer, texts: Sequence[str]) -> int:
    """Return the operations of embedding `texts`, each alone and so unpadded; a multiply-add is two.

    A text's operations depend on its length only.
    """
    by_length: dict[int, int] = {}
    total = 0
    for text in texts:
        length = _tokens(model, [text])
        if length not in by_length:
            by_length[length] = _forward_flops(model, text)
        total += by_length[length]
    return total


def language_flops(language: LanguageModel) -> float:
    """Return the operations a token of a language model's forward pass over a whole window, logits too."""
    device = next(language.parameters()).device
    ids_BT = torch.zeros((1, language.context), dtype=torch.long, device=device)
    with torch.no_grad():
        return count_flops(lambda: language(ids_BT)) / language.context


def limit_length(model: SentenceTransformer, length: int, name: str) -> None:
    """Cut texts to `length` tokens, but for a model that always reads whole texts.

    Raises:
        InputError: the model, called `name`, reads fewer.
    """
    own = getattr(model, "max_seq_length", None)
    if own is None or own == math.inf:
        return
    if length > own:
        raise InputError(f"{name} reads at most {own} tokens; give --tokens {own} or fewer")
    model.max_seq_length = length


def count_parameters(model: nn.Module) -> int:
    """Return the parameters of `model`, embeddings included."""
    return sum(parameter.numel() for parameter in model.parameters())


def embedding_parameters(model: nn.Module) -> int:
    """Return the parameters of the token embedding: the largest table, the others being of positions."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]
    return max((table.weight.numel() for table in tables), default=0)


def _forward_flops(model: SentenceTransformer, text: str) -> int:
    features = batch_to_device(model.preprocess([text]), model.device)
    with torch.no_grad():
        return count_flops(lambda: model(features))


def _tokens(model: SentenceTransformer, texts: Sequence[str]) -> int:
    features = model.preprocess(list(texts))
    mask = features.get("attention_mask")  # texts that lie end to end have none, and no padding
    return features["input_ids"].numel() if mask is None else int(mask.sum())
