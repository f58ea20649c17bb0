"""Small mixers of every variant, for the tests of what they compute and of how they are stored."""

from typing import Any

from sentence_transformers import SentenceTransformer
from transformers import PreTrainedTokenizerFast

from mixbench.models.build import build_mixer_encoder

CONTEXT, WIDTH = 12, 64
TEXTS = ["", "wing", "the lift of a wing", "drag", "a boundary layer over a flat plate", "wing of drag " * 9]
SHAPES: dict[str, dict[str, Any]] = {
    "groups": {"groups": 4},
    "heads": {"heads": 4},
    "kernel": {"kernel": 4},
    "transfixer": {"attention_every": 2},
    "unmasked": {"causal": False},
    "unmasked-groups": {"causal": False, "groups": 4},
    "unmasked-transfixer": {"causal": False, "attention_every": 2},
    "identity": {"mixing": "none"},
}


def make(tokenizer: PreTrainedTokenizerFast, shape: str, alignment: str = "right") -> SentenceTransformer:
    sizes = {"width": WIDTH, "depth": 2, "context": CONTEXT, "alignment": alignment, **SHAPES[shape]}
    return build_mixer_encoder(sizes, tokenizer, seed=0, pooling="mean")
