"""The end token that a model's tokenizer was trained to add, and that transformers 5 leaves out.

A model that pools the last token reads the state of the end token where its texts were trained with one. The
tokenizers of e5-mistral-7b-instruct and its kin say `add_eos_token` in tokenizer_config.json, while their
tokenizer.json adds the start token alone. transformers up to 4 followed the first, transformers 5 follows the
second, and the embedding becomes that of the last word. We follow the first.
"""

from pathlib import Path

from sentence_transformers import SentenceTransformer
from transformers import PreTrainedTokenizerFast

from mixbench.files import parse_json

TOKENIZER_CONFIG = "tokenizer_config.json"


def add_end_token(model: SentenceTransformer, folder: Path) -> None:
    """Let the tokenizer of `model` end each text as the tokenizer_config.json of its `folder` asks for.

    Nothing changes where that asks for no end token, or where the tokenizer adds it already. A text that is
    cut keeps its end token.
    """
    path = folder / TOKENIZER_CONFIG
    if not path.is_file() or parse_json(path.read_text(encoding="utf-8")).get("add_eos_token") is not True:
        return
    tokenizer = getattr(model, "tokenizer", None)
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or tokenizer.eos_token_id is None:
        return
    ids = tokenizer("a")["input_ids"]
    if ids[-1:] != [tokenizer.eos_token_id]:
        # These setters build the rule for special tokens anew, so the start token must be told as well.
        # mypy takes them for read-only, since they do not stand right below their properties.
        tokenizer.add_bos_token = ids[:1] == [tokenizer.bos_token_id]  # type: ignore[misc]
        tokenizer.add_eos_token = True  # type: ignore[misc]
