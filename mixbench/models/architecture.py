"""What an encoder is, by what it is built of: results record it, so that boards need not know names."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MIXER = "masked mixer"
TRANSFORMER = "transformer"
WITHOUT_MIXING = {"mixer without token mixing", "mean of token embeddings"}
"""Controls of a mixer, which show what token mixing is worth."""


def architecture_of(model: "SentenceTransformer") -> str | None:
    """Return the architecture of an encoder, None for one that is none of these."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    from mixbench.models.mixer import MaskedMixer

    first = model[0]
    if isinstance(first, MaskedMixer):
        return MIXER if first.config.mixing == "tokens" else "mixer without token mixing"
    if isinstance(first, StaticEmbedding):
        return "mean of token embeddings"
    return TRANSFORMER if isinstance(first, Transformer) else None


def control_of(architecture: str | None, *, trained: bool) -> str | None:
    """Return the architecture that one of our models is a control of, None where it is no control.

    Without token mixing it is a mixer's; untrained it is that of its own architecture.
    """
    if architecture in WITHOUT_MIXING:
        return MIXER
    return None if trained else architecture
