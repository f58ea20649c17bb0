"""The shape of an opponent, a transformer, read without loading the library that builds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixbench.models.mixer_config import HEAD_WIDTH, POOLINGS


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Shape of an opponent; `feedforward` is the hidden width of its feedforward, gated but in GPT-2.

    `heads` of 0 are heads of 64 channels, and one where the width is less.

    Raises:
        ValueError: a size that cannot be, heads that do not share the width in even parts, or `gpt`, which
            asks for GPT-2's blocks, of one that is not causal.
    """

    width: int
    depth: int
    context: int
    vocabulary: int
    feedforward: int
    causal: bool = True
    gpt: bool = False
    heads: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "depth", "context", "vocabulary", "feedforward"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if self.heads < 0 or self.width % (2 * self.attention_heads):
            raise ValueError(f"heads must cut the width, {self.width}, into even parts, not {self.heads!r}")
        if self.gpt and not self.causal:
            raise ValueError("GPT-2's blocks look back only: gpt=True needs causal=True")

    @property
    def attention_heads(self) -> int:
        """How many heads its attention has."""
        return self.heads or max(1, self.width // HEAD_WIDTH)


def opponent_shape(sizes: Mapping[str, Any], vocabulary: int) -> tuple[TransformerConfig, str]:
    """Return the configuration of an opponent and the pooling that stands on it.

    `sizes` are fields of `TransformerConfig` but the vocabulary, and `pooling`, the mean where that is left
    out. Raises ValueError where they contradict each other.
    """
    fields = dict(sizes)
    pooling = fields.pop("pooling", POOLINGS[0])
    return TransformerConfig(vocabulary=vocabulary, **fields), pooling
