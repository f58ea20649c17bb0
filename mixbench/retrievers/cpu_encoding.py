"""Encoding on a CPU: each thread takes small batches of its own, in place of all threads sharing large ones.

Threads that share an operation wait for the slowest at the end of each, some hundred times a batch. With a
batch of its own none waits for another, and what one layer passes to the next stays in a core's caches. A
batch that comes alone and is little work, as a query is, has one thread: on a machine that does other work
too, sharing it takes several times as long.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mixbench.retrievers.threads import one_thread_each, thread_pool
from mixbench.retrievers.tokenising import preprocess_replaced

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CPU_TOKENS = 2_048
"""Tokens of a batch, about."""
CHARACTERS = 4
"""Characters of a token, about; wrong by a factor, it costs time and changes nothing."""
LITTLE_WORK = 2**30
"""Parameters times tokens of a batch that one thread does alone: some 50 tokens of MiniLM."""


def encode_on_cpu(
    model: "SentenceTransformer",
    encode: Callable[[list[str]], Tensor],
    texts: Sequence[str],
    batches: Sequence[Sequence[int]],
    advance: Callable[[int], None],
) -> Tensor:
    """Return the embeddings (texts, dimension) that `encode` gives of `texts`, in their order.

    `encode` calls `model` on a batch at once; `batches` hold positions in `texts`, each once. `advance` is
    told of each batch done. The threads are torch's own number; one batch alone has them all, or one if it is
    little work.
    """

    def run(positions: Sequence[int]) -> Tensor:
        embedded = encode([texts[position] for position in positions])
        advance(len(positions))
        return embedded

    threads = min(torch.get_num_threads(), len(batches))
    if threads == 1:
        alone = sum(map(len, texts)) // CHARACTERS * _parameters(model) < LITTLE_WORK
        with one_thread_each() if alone else nullcontext():
            parts = [run(positions) for positions in batches]
    else:
        with _tokenising_in_turn(model), thread_pool(threads) as pool:
            parts = list(pool.map(run, batches))
    if len(parts) == 1 and len(texts) == 1:
        return parts[0]
    order = torch.tensor([position for positions in batches for position in positions])
    return torch.cat(parts)[order.argsort()]


def cpu_batches(texts: Sequence[str], batch_size: int, max_length: int | None) -> list[list[int]]:
    """Return positions in `texts`, batch by batch.

    A batch has at most `batch_size` texts, and about `CPU_TOKENS` tokens unless it is one text. The longest
    texts come first, those of equal length in their order.
    """
    batches: list[list[int]] = []
    room = 0
    for position in sorted(range(len(texts)), key=lambda position: -len(texts[position])):
        if room == 0:
            tokens = len(texts[position]) // CHARACTERS + 1
            tokens = tokens if max_length is None else min(tokens, max_length)
            room = max(1, min(batch_size, CPU_TOKENS // tokens))
            batches.append([])
        batches[-1].append(position)
        room -= 1
    return batches


def _parameters(model: "SentenceTransformer") -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@contextmanager
def _tokenising_in_turn(model: "SentenceTransformer") -> Iterator[None]:
    """Let one thread at a time turn texts into ids: a tokenizer's truncation and padding are its state."""
    lock, preprocess = Lock(), model.preprocess

    def in_turn(*arguments: Any, **settings: Any) -> Any:
        with lock:
            return preprocess(*arguments, **settings)

    with preprocess_replaced(model, in_turn):
        yield
