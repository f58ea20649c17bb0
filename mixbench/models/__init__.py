"""Encoders by preset: masked mixers, and the transformers that they are compared with.

`twin` has the mixer's width and depth and, through a narrower feedforward, its non-embedding parameters
within 5 %; `wide-twin` keeps the full feedforward and has more; `bi-twin` is the twin with attention in both
directions and mean pooling. The tables are data: sizes in channels, layers and tokens.
"""

from typing import TYPE_CHECKING, Any

from mixbench.errors import UnknownName

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedTokenizerFast

MIXERS: dict[str, dict[str, int]] = {
    "tiny": {"width": 256, "depth": 4, "context": 256},
    "small": {"width": 512, "depth": 8, "context": 256},
    "base": {"width": 768, "depth": 12, "context": 512},
}
OPPONENTS: dict[str, dict[str, Any]] = {
    "tiny-twin": {**MIXERS["tiny"], "feedforward": 424},
    "tiny-wide-twin": {**MIXERS["tiny"], "feedforward": 1024},
    "tiny-bi-twin": {**MIXERS["tiny"], "feedforward": 424, "causal": False},
    "small-twin": {**MIXERS["small"], "feedforward": 728},
    "small-wide-twin": {**MIXERS["small"], "feedforward": 2048},
    "small-bi-twin": {**MIXERS["small"], "feedforward": 728, "causal": False},
    "base-twin": {**MIXERS["base"], "feedforward": 1136},
    "base-wide-twin": {**MIXERS["base"], "feedforward": 3072},
    "base-bi-twin": {**MIXERS["base"], "feedforward": 1136, "causal": False},
}
PRESETS = (*MIXERS, *OPPONENTS)


def build_model(
    preset: str, tokenizer: "PreTrainedTokenizerFast | None" = None, seed: int = 0
) -> "SentenceTransformer":
    """Return an untrained encoder with unit-length embeddings; the same seed gives the same weights.

    Args:
        preset: one of `PRESETS`.
        tokenizer: the shipped one unless given.

    Raises:
        UnknownName: there is no such preset.
    """
    if preset not in PRESETS:
        raise UnknownName.of("preset", preset, PRESETS)
    from mixbench.models.build import build_mixer_encoder, build_transformer_encoder
    from mixbench.models.tokenizer import load_tokenizer

    tokenizer = tokenizer or load_tokenizer()
    if preset in MIXERS:
        return build_mixer_encoder(MIXERS[preset], tokenizer, seed)
    return build_transformer_encoder(OPPONENTS[preset], tokenizer, seed)
