"""From rows of pairs to what a network reads: each text tokenised once, each batch cut into chunks.

A chunk holds texts of like length, padded to the longest of them. sentence-transformers would pad every query
to the longest positive of its batch, more than half of the work wherever queries are short.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from torch import Tensor

from mixbench.errors import InputError

TOKENS_AT_ONCE = {"cuda": 65_536}
"""Most tokens of a chunk, padding included, by type of device; `FEW_TOKENS` on others."""
FEW_TOKENS = 4_096
WIDTH_STEP = 8
"""Widths of chunks are multiples of it: few shapes to compile for, and even ones."""
READ = {"input_ids", "attention_mask", "token_type_ids", "offsets", "modality", "prompt_length"}

Column = dict[str, Any]
"""A batch of texts: its `chunks`, and their `order` (B): text i stands at place order[i] of all chunks."""


@dataclass(frozen=True)
class Layout:
    """How a model's batches look: padding token and side, or texts end to end (`flat`)."""

    flat: bool
    padding: int = 0
    left: bool = False

    def features(self, texts: Sequence[NDArray[np.int32]]) -> dict[str, Tensor]:
        """Return what the model reads: ids and mask (B, T), or ids (N) and the offset of each text (B)."""
        if self.flat:
            offsets = np.cumsum([0, *map(len, texts)])[:-1]
            return {
                "input_ids": torch.from_numpy(np.concatenate(texts).astype(np.int64)),
                "offsets": torch.from_numpy(offsets.astype(np.int64)),
            }
        lengths = np.array([len(ids) for ids in texts])
        width = padded_width(max(lengths))
        places = np.arange(width)
        in_text = places >= width - lengths[:, None] if self.left else places < lengths[:, None]
        ids_BT = np.full(in_text.shape, self.padding, dtype=np.int64)
        ids_BT[in_text] = np.concatenate(texts)
        return {
            "input_ids": torch.from_numpy(ids_BT),
            "attention_mask": torch.from_numpy(in_text.astype(np.int64)),
        }


class TokenisedTexts:
    """The token ids of texts under one prompt, by the model's own `preprocess`; made when first asked for."""

    def __init__(self, model: SentenceTransformer, prompt: str | None) -> None:
        self.model, self.prompt = model, prompt
        self.known: dict[str, NDArray[np.int32]] = {}
        self.constants: dict[str, Any] = {}

    def of(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Return the ids of each text.

        Raises:
            InputError: the model reads more than token ids.
        """
        unknown = [text for text in dict.fromkeys(texts) if text not in self.known]
        if unknown:
            self.known.update(zip(unknown, self._tokenise(unknown), strict=True))
        return [self.known[text] for text in texts]

    def _tokenise(self, texts: list[str]) -> list[NDArray[np.int32]]:
        features = self.model.preprocess(texts, prompt=self.prompt)
        if not features.keys() <= READ or "input_ids" not in features:
            more = ", ".join(sorted(features.keys() - READ)) or "other inputs"
            raise InputError(
                f"{type(self.model[0]).__name__} reads more than token ids ({more}): not trained here"
            )
        if "prompt_length" in features:
            self.constants["prompt_length"] = features["prompt_length"]
        ids = features["input_ids"].numpy().astype(np.int32)
        if "offsets" in features:
            return np.split(ids, features["offsets"].numpy()[1:])
        return [row[mask] for row, mask in zip(ids, features["attention_mask"].numpy() > 0, strict=True)]


class Collator:
    """Rows to batches: what a data loader calls with the rows that `batches.py` chose.

    Args:
        model: whose tokenizer is used, and whose device decides how much a chunk holds.
        columns: texts by the name of their column, of equal length: a row is one of each.
        whole: one chunk a column, for a loss that cuts mini-batches itself.
    """

    valid_label_columns: tuple[str, ...] = ()

    def __init__(
        self,
        model: SentenceTransformer,
        columns: Mapping[str, Sequence[str]],
        prompts: Mapping[str, str | None],
        *,
        whole: bool,
    ) -> None:
        self.columns = columns
        by_prompt = {
            prompt: TokenisedTexts(model, prompt) for prompt in {prompts.get(name) for name in columns}
        }
        self.tokenised = {name: by_prompt[prompts.get(name)] for name in columns}
        self.layout = _layout(model)
        self.most = TOKENS_AT_ONCE.get(model.device.type, FEW_TOKENS)
        self.whole = whole or self.layout.flat

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        """Return `columns` (one `Column` each, in order) and `rows` (B), the rows' numbers."""
        numbers = [row["row"] for row in rows]
        return {
            "columns": [self._column(name, numbers) for name in self.columns],
            "rows": torch.tensor(numbers),
        }

    def _column(self, name: str, numbers: Sequence[int]) -> Column:
        texts, tokenised = self.columns[name], self.tokenised[name]
        ids = tokenised.of([texts[number] for number in numbers])
        if self.layout.flat:
            longest_first = np.arange(len(ids))
        else:
            longest_first = np.argsort([-len(each) for each in ids], kind="stable")
        ids = [ids[place] for place in longest_first]
        cuts = [(0, len(ids))] if self.whole else chunk_bounds([len(each) for each in ids], self.most)
        return {
            "chunks": [
                {**self.layout.features(ids[start:end]), **tokenised.constants} for start, end in cuts
            ],
            "order": torch.from_numpy(np.argsort(longest_first)),
        }


def chunk_bounds(lengths: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return (start, end) of chunks of at most `most` tokens, padding included; `lengths` must not rise."""
    bounds, start = [], 0
    while start < len(lengths):
        width = padded_width(lengths[start])
        end = min(len(lengths), start + max(1, most // width))
        bounds.append((start, end))
        start = end
    return bounds


def padded_width(longest: int) -> int:
    """Return the width of a chunk whose longest text has so many tokens."""
    return max(1, -(-longest // WIDTH_STEP)) * WIDTH_STEP


def embed(model: Callable[[dict[str, Any]], dict[str, Tensor]], column: Column) -> Tensor:
    """Return the embeddings (B, d) of a column's texts, in their order."""
    parts = [model(dict(chunk))["sentence_embedding"] for chunk in column["chunks"]]
    return torch.cat(parts)[column["order"]]


def _layout(model: SentenceTransformer) -> Layout:
    if "offsets" in model.preprocess(["a"]):
        return Layout(flat=True)
    tokenizer = model.tokenizer  # a module may have none; what pads is masked, so any token will do
    padding = getattr(tokenizer, "pad_token_id", None) or 0
    return Layout(
        flat=False, padding=int(padding), left=getattr(tokenizer, "padding_side", "right") == "left"
    )
