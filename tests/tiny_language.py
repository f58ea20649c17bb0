"""Tiny language models and a text for them, for tests of pretraining and generation."""

from pathlib import Path

from transformers import PreTrainedTokenizerFast

from mixbench.data.texts import text_source
from mixbench.models.build import build_mixer_encoder, build_transformer_encoder
from mixbench.models.language_model import LanguageModel
from mixbench.models.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from mixbench.training.language_record import TextRead
from mixbench.training.tokens import cached_tokens

CONTEXT = 16
DOCUMENTS = [
    f"the {colour} {thing} is a {thing} that is {colour}, and number {number} of all things."
    for number, (colour, thing) in enumerate(
        (colour, thing)
        for colour in ["red", "green", "blue", "black", "white"]
        for thing in ["cat", "dog", "house", "boat", "tree", "wing"]
    )
]


def write_text(path: Path, mark: str = "\n<|endoftext|>\n") -> Path:
    path.write_text(mark.join(DOCUMENTS))
    return path


def tiny_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    save_tokenizer(train_tokenizer(2 * DOCUMENTS, 400), folder / "tiny-tokenizer.json")
    return load_tokenizer(folder / "tiny-tokenizer.json")


def tiny_text(tokenizer: PreTrainedTokenizerFast, folder: Path) -> TextRead:
    sources = [text_source(str(write_text(folder / "things.txt")))]
    return TextRead(ids_N=cached_tokens(sources, tokenizer, folder / "cache"), sources=sources)


def tiny_encoder(tokenizer: PreTrainedTokenizerFast, kind: str = "right", seed: int = 0):
    """Return a mixer of alignment `kind`, one with "groups" or "unmasked", or an opponent of that kind."""
    variants = {"groups": {"groups": 4}, "unmasked": {"causal": False}}
    if kind in variants:
        sizes = {"width": 32, "depth": 2, "context": CONTEXT, **variants[kind]}
        return build_mixer_encoder(sizes, tokenizer, seed)
    if kind in ("left", "right"):
        sizes = {"width": 32, "depth": 2, "context": CONTEXT, "alignment": kind}
        return build_mixer_encoder(sizes, tokenizer, seed)
    opponents = {
        "twin": {"feedforward": 64},
        "wide-twin": {"feedforward": 256},
        "bi-twin": {"feedforward": 64, "causal": False},
        "gpt": {"feedforward": 256, "gpt": True},
    }
    sizes = {"width": 64, "depth": 2, "context": CONTEXT, **opponents[kind]}
    return build_transformer_encoder(sizes, tokenizer, seed)


def tiny_language(tokenizer: PreTrainedTokenizerFast, kind: str = "right", seed: int = 0) -> LanguageModel:
    return LanguageModel(tiny_encoder(tokenizer, kind, seed))
