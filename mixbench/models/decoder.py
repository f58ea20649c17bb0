"""A decoder of mixer blocks: from one embedding, repeated at every position, to the tokens of a text.

Shapes: B texts, T tokens, D dimensions of the embedding, V vocabulary. Every position reads the same, so
what tells positions apart is token mixing itself. Before it learns, a decoder says what it is given as
the frequencies of tokens, whatever it reads.
"""

import torch
from torch import Tensor, nn

from mixbench.models.mixer import Block
from mixbench.models.mixer_config import MixerConfig


class MixerDecoder(nn.Module):
    """A projection to the width of `config`, its blocks, a norm, and logits."""

    def __init__(self, dimension: int, config: MixerConfig) -> None:
        super().__init__()
        self.into_width = nn.Linear(dimension, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.vocabulary)
        nn.init.zeros_(self.head.weight)

    def forward(self, embeddings_BTD: Tensor) -> Tensor:
        """Return logits (B, T, V) for repeated embeddings (B, T, D)."""
        text_BT1 = torch.ones_like(embeddings_BTD[..., :1])
        x_BTd = self.into_width(embeddings_BTD)
        for block in self.blocks:
            x_BTd = block(x_BTd, text_BT1)
        logits_BTV: Tensor = self.head(self.norm(x_BTd))
        return logits_BTV


def build_decoder(
    dimension: int, log_frequencies_V: Tensor, *, tokens: int, width: int, depth: int, seed: int = 0
) -> MixerDecoder:
    """Return a random decoder of embeddings of `dimension` into texts of so many `tokens`.

    `log_frequencies_V` (V,) are the logits that it starts with.
    """
    vocabulary = len(log_frequencies_V)
    config = MixerConfig(width=width, depth=depth, context=tokens, vocabulary=vocabulary, alignment="left")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = MixerDecoder(dimension, config)
    with torch.no_grad():
        decoder.head.bias.copy_(log_frequencies_V)
    return decoder
