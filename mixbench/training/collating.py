"""From rows of pairs to what a network reads: each text tokenised once, each batch cut into chunks.

A chunk holds texts of like length, padded to the longest of them. sentence-transformers would pad every query
to the longest positive of its batch, more than half of the work wherever queries are short.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from torch import Tensor

from mixbench.errors import InputError
from mixbench.retrievers.attention import attention_of_any_shape
from mixbench.training.gathering import share

FEW_TOKENS, MOST_TOKENS = 4_096, 131_072
"""Least and most tokens of a chunk, padding included; a GPU with 80 GB takes the most."""
TOKENS_A_GIB = 1_700
"""Tokens of a chunk for each GiB of a GPU, which suits `small` and its twins."""
SORTED_TOGETHER = 16_384
"""Texts that `embed_all` sorts by length at a time."""
TRIED = 32
"""Texts that must come out alike before the tokenizer's backend is trusted with the rest."""
FILLED = 0.75
"""A chunk that is a quarter full takes no text shorter than this share of its width."""
WIDTH_STEP = 8
"""Widths of chunks are multiples of it: few shapes to compile for, and even ones."""
READ = {"input_ids", "attention_mask", "token_type_ids", "offsets", "modality", "prompt_length"}

Column = dict[str, Any]
"""A batch of texts: its `chunks`, and their `order` (B): text i stands at place order[i] of all chunks.

That of a `Collator` has the texts of this process, and their number in all processes as its `size`.
"""


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
    """The token ids of texts under one prompt, as the model's own `preprocess` gives them; made when needed.

    They come from the tokenizer's backend, which uses all cores, where that gives the same for the first
    texts; `preprocess` goes through each number in Python.
    """

    def __init__(self, model: SentenceTransformer, prompt: str | None) -> None:
        self.model, self.prompt = model, prompt
        self.known: dict[str, NDArray[np.int32]] = {}
        self.constants: dict[str, Any] = {}
        self._backend: Any = None
        self._tried = False

    def of(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Return the ids of each text.

        Raises:
            InputError: the model reads more than token ids.
        """
        unknown = [text for text in dict.fromkeys(texts) if text not in self.known]
        if unknown:
            self.known.update(zip(unknown, self.tokenise(unknown), strict=True))
        return [self.known[text] for text in texts]

    def tokenise(self, texts: list[str]) -> list[NDArray[np.int32]]:
        """Return the ids of each text, and remember none."""
        if not self._tried:
            self._tried = True
            self._backend = self._agreeing_backend(texts[:TRIED])
        return self._by_model(texts) if self._backend is None else self._by_backend(texts)

    def _agreeing_backend(self, texts: list[str]) -> Any:
        """Return a copy of the tokenizer's backend that cuts as the model does; None where it differs."""
        backend = copy.deepcopy(getattr(getattr(self.model, "tokenizer", None), "backend_tokenizer", None))
        if backend is None or self.model.max_seq_length is None:
            return None
        own = self._by_model(texts)
        backend.no_padding()
        backend.enable_truncation(self.model.max_seq_length)
        self._backend = backend
        fast = self._by_backend(texts)
        agree = all(np.array_equal(left, right) for left, right in zip(own, fast, strict=True))
        return backend if agree else None

    def _by_backend(self, texts: list[str]) -> list[NDArray[np.int32]]:
        prompted = [self.prompt + text for text in texts] if self.prompt else texts
        return [np.array(row.ids, dtype=np.int32) for row in self._backend.encode_batch_fast(prompted)]

    def _by_model(self, texts: list[str]) -> list[NDArray[np.int32]]:
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
        columns: texts by the name of their column: a row is the text at its number in each.
        whole: one chunk a column, for a loss that cuts mini-batches itself.
        further: from the rows of a batch to more numbers into its last column, for hard negatives.
    """

    valid_label_columns: tuple[str, ...] = ()

    def __init__(
        self,
        model: SentenceTransformer,
        columns: Mapping[str, Sequence[str]],
        prompts: Mapping[str, str | None],
        *,
        whole: bool,
        further: Callable[[list[int]], list[int]] | None = None,
    ) -> None:
        self.columns = columns
        self.further = further
        by_prompt = {
            prompt: TokenisedTexts(model, prompt) for prompt in {prompts.get(name) for name in columns}
        }
        self.tokenised = {name: by_prompt[prompts.get(name)] for name in columns}
        self.layout = layout_of(model)
        self.most = tokens_at_once(model.device)
        self.whole = whole or self.layout.flat

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        """Return `columns` (one `Column` each, in order) and `rows` (B), the rows' numbers."""
        numbers = [row["row"] for row in rows]
        asked = dict.fromkeys(self.columns, numbers)
        if self.further is not None:
            asked[list(asked)[-1]] = numbers + self.further(numbers)
        return {
            "columns": [self._column(name, texts) for name, texts in asked.items()],
            "rows": torch.tensor(numbers),
        }

    def _column(self, name: str, numbers: Sequence[int]) -> Column:
        texts, tokenised = self.columns[name], self.tokenised[name]
        own = share(numbers)
        # A process without a share embeds a text too, as all wait for its gradients; `order` leaves it out.
        ids = tokenised.of([texts[number] for number in own or numbers[:1]])
        column = cut(ids, self.layout, None if self.whole else self.most, tokenised.constants)
        return {**column, "order": column["order"][: len(own)], "size": len(numbers)}


@attention_of_any_shape()
def embed_all(
    model: SentenceTransformer,
    texts: Sequence[str],
    prompt: str | None,
    advance: Callable[[int], None],
) -> NDArray[np.float32]:
    """Return the embeddings (N, d) of texts, without gradients: chunks of like length, bfloat16 on a GPU.

    As `SentenceTransformer.encode` gives them but for rounding, several times faster where texts are short.
    """
    model.eval()
    tokenised, layout = TokenisedTexts(model, prompt), layout_of(model)
    device = model.device
    most = tokens_at_once(device)
    parts = []
    for start in range(0, len(texts), SORTED_TOGETHER):
        part = list(texts[start : start + SORTED_TOGETHER])
        ids = tokenised.tokenise(part)
        column = cut(ids, layout, None if layout.flat else most, tokenised.constants)
        column["chunks"] = [
            {key: value.to(device) if isinstance(value, Tensor) else value for key, value in chunk.items()}
            for chunk in column["chunks"]
        ]
        on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported()
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
            parts.append(embed(model, column).float().cpu().numpy())
        advance(len(part))
    return np.concatenate(parts)


def cut(
    ids: Sequence[NDArray[np.int32]], layout: Layout, most: int | None, constants: Mapping[str, Any]
) -> Column:
    """Return texts as chunks of at most `most` tokens, the longest first; as one chunk where that is None."""
    lengths = np.array([0 if layout.flat else -len(each) for each in ids])
    longest_first = np.argsort(lengths, kind="stable")
    ids = [ids[place] for place in longest_first]
    cuts = [(0, len(ids))] if most is None else chunk_bounds([len(each) for each in ids], most)
    return {
        "chunks": [{**layout.features(ids[start:end]), **constants} for start, end in cuts],
        "order": torch.from_numpy(np.argsort(longest_first)),
    }


def chunk_bounds(lengths: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return (start, end) of chunks of at most `most` tokens, padding included; `lengths` must not rise.

    Padding is work too: a chunk that is a quarter full ends before the first text that would not fill it.
    """
    bounds, start = [], 0
    while start < len(lengths):
        width = padded_width(lengths[start])
        end = min(len(lengths), start + max(1, most // width))
        filling = start + sum(length >= FILLED * width for length in lengths[start:end])
        end = min(end, max(filling, start + max(1, most // 4 // width)))
        bounds.append((start, end))
        start = end
    return bounds


def tokens_at_once(device: torch.device) -> int:
    """Return how many tokens a chunk holds on `device`: few on a CPU, on a GPU what suits its memory."""
    if device.type != "cuda":
        return FEW_TOKENS
    return tokens_for(torch.cuda.get_device_properties(device).total_memory)


def tokens_for(memory: int) -> int:
    """Return the power of two of tokens for a GPU of so many bytes, whatever else runs on it."""
    fitting = max(FEW_TOKENS, memory * TOKENS_A_GIB >> 30)
    return int(min(MOST_TOKENS, 1 << fitting.bit_length() - 1))


def padded_width(longest: int) -> int:
    """Return the width of a chunk whose longest text has so many tokens."""
    return max(1, -(-longest // WIDTH_STEP)) * WIDTH_STEP


def embed(model: Callable[[dict[str, Any]], dict[str, Tensor]], column: Column) -> Tensor:
    """Return the embeddings (B, d) of a column's texts, in their order."""
    parts = [model(dict(chunk))["sentence_embedding"] for chunk in column["chunks"]]
    return torch.cat(parts)[column["order"]]


def layout_of(model: SentenceTransformer) -> Layout:
    if "offsets" in model.preprocess(["a"]):
        return Layout(flat=True)
    tokenizer = model.tokenizer  # a module may have none; what pads is masked, so any token will do
    padding = getattr(tokenizer, "pad_token_id", None) or 0
    return Layout(
        flat=False, padding=int(padding), left=getattr(tokenizer, "padding_side", "right") == "left"
    )
