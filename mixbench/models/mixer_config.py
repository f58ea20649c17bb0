"""The shape of a masked mixer, and which of its variants it is.

The defaults of the variants are the plain mixer, and are not stored: so a folder that was written before
they were there, and one written now, have the same bytes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

HEAD_WIDTH = 64
"""Channels of an attention head."""
VARIANTS = {"groups": 1, "heads": 0, "kernel": 1, "causal": True, "attention_every": 0, "mixing": "tokens"}
"""The fields that choose a variant, and the value that leaves each out."""


POOLINGS = ("mean", "lasttoken")
"""What makes one embedding of a text's states; the first unless another is chosen."""


@dataclass(frozen=True, kw_only=True)
class MixerConfig:
    """Everything that fixes a mixer's shape and meaning; sizes in tokens and channels.

    At most one of the first three replaces the one matrix of the plain mixer:

    - `groups`: each group of neighbouring channels has a matrix of its own.
    - `heads`: the same between two projections, so that a group is learned (the paper's multi-headed mixer).
    - `kernel`: so many neighbouring channels enter each sum over tokens, each with a matrix of its own.
    - `causal`: False mixes later tokens too.
    - `attention_every`: every n-th block has self-attention in place of token mixing.
    - `mixing`: "none" leaves token mixing out of every block, a control in which no token sees another.

    Raises:
        ValueError: a size that cannot be, or fields that contradict each other.
    """

    width: int
    depth: int
    context: int
    vocabulary: int
    expansion: int = 4
    alignment: Literal["left", "right"] = "right"
    groups: int = 1
    heads: int = 0
    kernel: int = 1
    causal: bool = True
    attention_every: int = 0
    mixing: Literal["tokens", "none"] = "tokens"

    def __post_init__(self) -> None:
        for name in ("width", "depth", "context", "vocabulary", "expansion", "groups", "kernel"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        for name in ("heads", "attention_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)!r}")
        if self.alignment not in ("left", "right"):
            raise ValueError(f"alignment must be 'left' or 'right', not {self.alignment!r}")
        if self.mixing not in ("tokens", "none"):
            raise ValueError(f"mixing must be 'tokens' or 'none', not {self.mixing!r}")
        self._check_mixing()
        self._check_attention()

    @property
    def changed(self) -> dict[str, Any]:
        """The fields of variants that are not at the plain mixer's value."""
        return {name: getattr(self, name) for name, plain in VARIANTS.items() if getattr(self, name) != plain}

    @property
    def token_mixing(self) -> str:
        """Which token mixing its blocks have: "flat" (the paper's), "groups", "heads" or "kernel"."""
        return next((name for name in ("groups", "heads", "kernel") if name in self.changed), "flat")

    def block(self, number: int) -> str:
        """Return what mixes tokens in block `number`, from 1: "matrix", "attention" or "none"."""
        if self.mixing == "none":
            return "none"
        return "attention" if self.attention_every and number % self.attention_every == 0 else "matrix"

    def stored(self) -> dict[str, Any]:
        """Return the fields as a checkpoint states them."""
        return {name: value for name, value in asdict(self).items() if name not in VARIANTS} | self.changed

    def _check_mixing(self) -> None:
        several = [f"{name}={value}" for name, value in self.changed.items()]
        if self.mixing == "none" and len(several) > 1:
            raise ValueError(f"mixing='none' mixes no tokens: it cannot have {several[0]}")
        chosen = [name for name in ("groups", "heads", "kernel") if name in self.changed]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} are different token mixings; choose one")
        for name in ("groups", "heads"):
            if getattr(self, name) and self.width % getattr(self, name):
                raise ValueError(
                    f"{name} must divide the width, {self.width}, and {getattr(self, name)!r} does not"
                )
        if self.kernel > self.width:
            raise ValueError(f"kernel must be at most the width, {self.width}, not {self.kernel!r}")

    def _check_attention(self) -> None:
        if not self.attention_every:
            return
        if not 2 <= self.attention_every <= self.depth:
            raise ValueError(
                f"attention_every must be 0 or lie in 2 to {self.depth}, the depth, not"
                f" {self.attention_every!r}: attention takes its positions from a mixing block before it"
            )
        if self.width % HEAD_WIDTH:
            raise ValueError(
                f"attention_every needs a width that is a multiple of {HEAD_WIDTH}, not {self.width!r}"
            )


class Head(NamedTuple):
    """What makes one embedding of a mixer's states: pooling, and the width that it is projected to."""

    pooling: str
    dimension: int | None


def mixer_shape(sizes: Mapping[str, Any], vocabulary: int) -> tuple[MixerConfig, Head]:
    """Return the configuration of a mixer and what stands on it.

    Args:
        sizes: fields of `MixerConfig` but the vocabulary; `pooling`, the mean where that is left out; and
            `dimension`, that of the embedding, the width where that is left out.
        vocabulary: tokens of its tokenizer.

    Raises:
        ValueError: the fields contradict each other or the pooling.
    """
    fields = {"pooling": POOLINGS[0], "dimension": None, **sizes}
    pooling, dimension = fields.pop("pooling"), fields.pop("dimension")
    if "feedforward" in fields:
        raise ValueError("feedforward is a field of transformers; that of a mixer is its width by expansion")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be 'mean' or 'lasttoken', not {pooling!r}")
    if dimension is not None and dimension < 1:
        raise ValueError(f"dimension must be at least 1, not {dimension!r}")
    config = MixerConfig(vocabulary=vocabulary, **fields)
    if config.mixing == "none" and pooling == "lasttoken":
        raise ValueError("mixing='none' needs pooling='mean': every text has the same last token")
    return config, Head(pooling, dimension)
