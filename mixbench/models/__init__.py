"""Encoders by preset: masked mixers, and the transformers that they are compared with.

`grouped`, `heads`, `kernel`, `unmasked` and `transfixer` are variants of a mixer's token mixing. `identity`
has none and `static` is the mean of its tokens' embeddings: controls, which show what mixing is worth.

`twin` has the mixer's width and depth and, through a narrower feedforward, its non-embedding parameters
within 5 %; `wide-twin` keeps the full feedforward and has more; `bi-twin` is the twin with attention in both
directions. `gpt` is GPT-2's transformer of the mixer's width and depth, with its own
feedforward of four times the width. The tables are data: sizes in channels, layers and tokens.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mixbench.errors import UnknownName
from mixbench.models.mixer_config import mixer_shape
from mixbench.models.transformer_config import opponent_shape

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedTokenizerFast

MIXERS: dict[str, dict[str, int]] = {
    "tiny": {"width": 256, "depth": 4, "context": 256},
    "small": {"width": 512, "depth": 8, "context": 256},
    "base": {"width": 768, "depth": 12, "context": 512},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "tiny-grouped": {**MIXERS["tiny"], "groups": 8},
    "tiny-identity": {**MIXERS["tiny"], "mixing": "none"},
    "small-grouped": {**MIXERS["small"], "groups": 8},
    "small-heads": {**MIXERS["small"], "heads": 4},
    "small-kernel": {**MIXERS["small"], "kernel": 4},
    "small-unmasked": {**MIXERS["small"], "causal": False},
    "small-transfixer": {**MIXERS["small"], "attention_every": 4},
    "small-identity": {**MIXERS["small"], "mixing": "none"},
}
STATIC: dict[str, dict[str, int]] = {
    "tiny-static": {"width": MIXERS["tiny"]["width"]},
    "small-static": {"width": MIXERS["small"]["width"]},
}
OPPONENTS: dict[str, dict[str, Any]] = {
    "tiny-twin": {**MIXERS["tiny"], "feedforward": 424},
    "tiny-wide-twin": {**MIXERS["tiny"], "feedforward": 1024},
    "tiny-bi-twin": {**MIXERS["tiny"], "feedforward": 424, "causal": False},
    "tiny-gpt": {**MIXERS["tiny"], "feedforward": 1024, "gpt": True},
    "small-twin": {**MIXERS["small"], "feedforward": 728},
    "small-wide-twin": {**MIXERS["small"], "feedforward": 2048},
    "small-bi-twin": {**MIXERS["small"], "feedforward": 728, "causal": False},
    "small-gpt": {**MIXERS["small"], "feedforward": 2048, "gpt": True},
    "base-twin": {**MIXERS["base"], "feedforward": 1136},
    "base-wide-twin": {**MIXERS["base"], "feedforward": 3072},
    "base-bi-twin": {**MIXERS["base"], "feedforward": 1136, "causal": False},
    "base-gpt": {**MIXERS["base"], "feedforward": 3072, "gpt": True},
}
PRESETS = (*MIXERS, *VARIANTS, *STATIC, *OPPONENTS)
OPPONENT_FIELDS = ("width", "depth", "context", "feedforward", "heads", "pooling")
"""What can be changed of an opponent; `heads` are those of its attention."""


def check_changes(preset: str, changes: Mapping[str, Any]) -> None:
    """Refuse `changes` that contradict each other, or that the preset does not have.

    Raises:
        ValueError: they are such.
    """
    mixer = MIXERS.get(preset) or VARIANTS.get(preset)
    if mixer is not None:
        mixer_shape({**mixer, **changes}, vocabulary=1)
        return
    if others := sorted(changes.keys() - (set(OPPONENT_FIELDS) if preset in OPPONENTS else set())):
        raise ValueError(f"it is no mixer and has no {', '.join(others)} to set")
    if preset in OPPONENTS:
        opponent_shape({**OPPONENTS[preset], **changes}, vocabulary=1)


def build_model(
    preset: str,
    tokenizer: "PreTrainedTokenizerFast | None" = None,
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> "SentenceTransformer":
    """Return an untrained encoder with unit-length embeddings; the same seed gives the same weights.

    Args:
        preset: one of `PRESETS`.
        tokenizer: the shipped one unless given.
        changes: fields of `MixerConfig`, and `pooling`, in place of a mixer preset's own; of a transformer
            those of `OPPONENT_FIELDS`.

    Raises:
        UnknownName: there is no such preset.
        ValueError: `changes` that contradict each other, or that the preset does not have.
    """
    if preset not in PRESETS:
        raise UnknownName.of("preset", preset, PRESETS)
    check_changes(preset, changes or {})
    from mixbench.models.build import build_mixer_encoder, build_static_encoder, build_transformer_encoder
    from mixbench.models.tokenizer import load_tokenizer

    tokenizer = tokenizer or load_tokenizer()
    mixer = MIXERS.get(preset) or VARIANTS.get(preset)
    if mixer is not None:
        return build_mixer_encoder({**mixer, **(changes or {})}, tokenizer, seed)
    if preset in STATIC:
        return build_static_encoder(STATIC[preset]["width"], tokenizer, seed)
    return build_transformer_encoder({**OPPONENTS[preset], **(changes or {})}, tokenizer, seed)
