"""Token ids for a device that would wait for them: threads tokenise the next batches while it computes.

sentence-transformers tokenises a batch, copies it and only then runs the model, and takes each number through
several Python lists on its way into a tensor. Here its own `encode` runs as ever and finds each batch made.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

THREADS = 2
"""So that tensors of one batch are made while the tokenizer, which has threads of its own, is at the next."""
AHEAD = 4
"""Batches made, or in the making, beside the one that is read."""
TRIED = 16
"""Texts, from the longest to the shortest, that must come out alike before the backend has the rest."""
PLAIN = (
    "sentence_transformers.base.model",
    "sentence_transformers.base.modules.transformer",
    "sentence_transformers.sentence_transformer.modules.static_embedding",
    "transformers.tokenization_utils",
)
"""Modules, or how their names begin, whose methods on the way from a text to its ids only tokenise."""

Features = dict[str, Any]


@contextmanager
def tokenising_ahead(model: "SentenceTransformer", texts: Sequence[str], batch_size: int) -> Iterator[None]:
    """Let `model` encode `texts`, once and `batch_size` at a time, with the batches made ahead.

    It reads what its own `preprocess` gives, bit by bit, on its device. That is called as ever where it or
    the tokenizer is not one that only tokenises: sentence-transformers' and transformers', or with an
    attribute `only_tokenises`. So it is where a few of the texts do not come out the same by the tokenizer's
    backend (chats, packed batches), and where there are not many more than these few.
    """
    if len(texts) <= 2 * TRIED or not _only_tokenises(model):
        yield
        return
    own, device = model.preprocess, model.device
    # The order of sentence-transformers, ties included: with another its batches would not be those made.
    longest_first = [texts[at] for at in np.argsort([-len(text) for text in texts])]
    made: Iterator[tuple[list[str], Features]] | None = None

    def preprocess(inputs: list[str], **settings: Any) -> Features:
        nonlocal made
        if made is None:
            sample = longest_first[:: len(texts) // TRIED] + longest_first[-1:]
            tokens = _trusted(model, sample, own(sample, **settings), settings.get("prompt") or "")
            made = iter(()) if tokens is None else _ahead(pool, tokens, longest_first, batch_size, device)
        batch, features = next(made, (None, {}))
        if batch == inputs:
            return {key: _moved(value, device) for key, value in features.items()}
        made = iter(())
        return own(inputs, **settings)

    pool = ThreadPoolExecutor(THREADS)
    try:
        with preprocess_replaced(model, preprocess):
            yield
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def preprocess_replaced(model: "SentenceTransformer", preprocess: Callable[..., Features]) -> Iterator[None]:
    """Let `model` turn texts into what it reads by `preprocess`; no other object of its class does."""
    own = vars(model)
    before = own.get("preprocess")
    own["preprocess"] = preprocess
    try:
        yield
    finally:
        del own["preprocess"]
        if before is not None:
            own["preprocess"] = before


def _only_tokenises(model: "SentenceTransformer") -> bool:
    """Return whether nothing on the way from a text to its ids can treat some texts in a way of its own."""
    tokenizer = getattr(model, "tokenizer", None)
    route: list[tuple[object, str]] = [(model, "preprocess"), (model[0], "preprocess")]
    if hasattr(tokenizer, "backend_tokenizer"):  # else it is the backend itself
        route += [(tokenizer, "__call__"), (tokenizer, "_encode_plus")]
    return all(_is_plain(part, name) for part, name in route)


def _is_plain(part: object, name: str) -> bool:
    """Return whether the method `name` of `part` is of a class that is known, or says, to only tokenise."""
    kind = type(part)
    if vars(kind).get("only_tokenises"):
        return name not in vars(part)
    definer = next((each for each in kind.__mro__ if name in vars(each)), None)
    of_a_library = kind.__module__.startswith(("sentence_transformers.", "transformers."))
    known = definer is not None and definer.__module__.startswith(PLAIN)
    return of_a_library and known and name not in vars(part)


@dataclass(frozen=True)
class _Tokens:
    """How a model's batches look: a tokenizer's backend that pads nothing, and what is put around its ids.

    Texts stand end to end (`flat`), or are padded to the longest, on the left or the right. `constants` stand
    beside the tensors, whose names are `names`.
    """

    backend: Any
    prompt: str
    names: Sequence[str]
    flat: bool
    padding: int
    left: bool
    constants: Mapping[str, Any]

    def features(self, texts: Sequence[str]) -> Features:
        """Return ids, mask and, all zero, types (B, T); flat the ids (N) and the offset of each text (B)."""
        prompted = [self.prompt + text for text in texts]
        rows = self.backend.encode_batch_fast(prompted, add_special_tokens=not self.flat)
        lengths = [len(row) for row in rows]
        if self.flat:
            ids = np.empty(sum(lengths), dtype=np.int64)
            ends = np.cumsum(lengths)
            for row, end in zip(rows, ends, strict=True):
                ids[end - len(row) : end] = row.ids
            return {"input_ids": torch.from_numpy(ids), "offsets": torch.from_numpy(ends - lengths)}
        width = max(lengths)
        ids_BT = np.full((len(rows), width), self.padding, dtype=np.int64)
        mask_BT = np.zeros_like(ids_BT)
        for at, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            place = slice(width - length, width) if self.left else slice(length)
            ids_BT[at, place] = row.ids
            mask_BT[at, place] = 1
        arrays = {"input_ids": ids_BT, "attention_mask": mask_BT, "token_type_ids": np.zeros_like(ids_BT)}
        return {name: torch.from_numpy(arrays[name]) for name in self.names} | dict(self.constants)


def _trusted(model: "SentenceTransformer", sample: list[str], own: Features, prompt: str) -> _Tokens | None:
    """Return what makes of `sample` the features `own`, as `model` has just done; None if nothing does."""
    tokenizer = getattr(model, "tokenizer", None)
    backend: Any = getattr(tokenizer, "backend_tokenizer", tokenizer)
    names = [name for name, value in own.items() if isinstance(value, Tensor)]
    flat = "offsets" in names
    known = {"input_ids", "offsets"} if flat else {"input_ids", "attention_mask", "token_type_ids"}
    if not hasattr(backend, "encode_batch_fast") or not {"input_ids"} <= set(names) <= known:
        return None
    constants = {name: value for name, value in own.items() if name not in names}
    if not all(value is None or isinstance(value, str | int | float) for value in constants.values()):
        return None
    # Its length in tokens is the one that `model` has just set there, and stays; so is the padding.
    padding = backend.padding or {}
    if not flat and (not padding or padding["length"] or padding["pad_to_multiple_of"]):
        return None
    backend = copy.deepcopy(backend)
    backend.no_padding()
    tokens = _Tokens(
        backend=backend,
        prompt=prompt,
        names=names,
        flat=flat,
        padding=padding.get("pad_id", 0),
        left=padding.get("direction") == "left",
        constants=constants,
    )
    found = tokens.features(sample)
    alike = found.keys() == own.keys() and all(
        (found[name].dtype, found[name].device) == (own[name].dtype, own[name].device)
        and torch.equal(found[name], own[name])
        for name in names
    )
    return tokens if alike else None


def _ahead(
    pool: ThreadPoolExecutor, tokens: _Tokens, texts: list[str], batch_size: int, device: torch.device
) -> Iterator[tuple[list[str], Features]]:
    """Yield the batches of `texts` with their features, in memory that `device` copies from by itself."""

    def make(batch: list[str]) -> Features:
        features = tokens.features(batch)
        if device.type != "cuda":
            return features
        return {
            name: value.pin_memory() if isinstance(value, Tensor) else value
            for name, value in features.items()
        }

    waiting: deque[tuple[list[str], Future[Features]]] = deque()
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        waiting.append((batch, pool.submit(make, batch)))
        if len(waiting) > AHEAD:
            first, features = waiting.popleft()
            yield first, features.result()
    for batch, features in waiting:
        yield batch, features.result()


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device, non_blocking=device.type == "cuda") if isinstance(value, Tensor) else value
