"""Embeddings that a search reads part by part: tensors, arrays mapped from files, or what gives rows of them.

Shapes: N documents read at once, D dimensions.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixbench.retrievers.threads import one_thread_each

DOCUMENTS_AT_ONCE = 1_000
TINIEST = 2**-60
"""At least the size of a number whose square float32 does not hold."""
COPIED = 256
"""Rows of an array copied at once."""


class Shard(Protocol):
    """Embeddings of documents in a row: a tensor, an array, or what gives some of its rows as a tensor."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: Any, /) -> Any:
        """Return the rows of a slice, or of int64 numbers: floats of 16 or 32 bits (rows, D)."""
        ...


@dataclass(frozen=True)
class Extent:
    """What no document of some shards exceeds."""

    length: float
    lost: float
    """The length of what rounding its numbers to bfloat16 takes from them."""


Part = tuple[int, Shard, slice]
"""The position of its first document, and where its documents are."""


def parts_of(shards: Sequence[Shard], size: int) -> Iterator[Part]:
    """Yield all documents, at most `size` at a time; positions count through the shards."""
    position = 0
    for shard in shards:
        for start in range(0, len(shard), size):
            yield position + start, shard, slice(start, min(start + size, len(shard)))
        position += len(shard)


def read(parts: Iterable[Part]) -> Iterator[tuple[int, Tensor]]:
    """Yield the position of the first document of each part, and its embeddings (N, D) in float32.

    They are good until the next are asked for: what is not float32 in memory is read into one place again and
    again, since freed memory of this size does not always go back to the system.
    """
    held_ND = torch.empty(0, 0)
    for start, shard, where in parts:
        if not isinstance(shard, np.ndarray):
            yield start, read_rows(shard, where)
            continue
        count = where.stop - where.start
        if len(held_ND) < count or held_ND.shape[1] != shard.shape[1]:
            held_ND = torch.empty(count, shard.shape[1])
        for at in range(0, count, COPIED):
            some = slice(where.start + at, min(where.start + at + COPIED, where.stop))
            held_ND[at : at + COPIED][: some.stop - some.start] = read_rows(shard, some)
        yield start, held_ND[:count]


def read_rows(shard: Shard, at: slice | NDArray[np.int64]) -> Tensor:
    """Return some rows in float32; those of an array are copied, since torch wants none that is read-only."""
    if isinstance(shard, np.ndarray):
        return torch.from_numpy(np.array(shard[at])).float()
    where = at if isinstance(at, slice) else torch.from_numpy(at)
    rows: Tensor = take(shard, where) if isinstance(shard, Tensor) else shard[where]
    return rows.float()


def take(tensor: Tensor, at: slice | Tensor) -> Tensor:
    """Return some rows of a tensor."""
    return tensor[at] if isinstance(at, slice) else tensor.index_select(0, at)


def extent_of(shards: Sequence[Shard]) -> Extent:
    """Return what no document exceeds; one of them comes close to it."""
    longest = most_lost = 0.0
    with one_thread_each():
        for _, rows_ND in read(parts_of(shards, DOCUMENTS_AT_ONCE)):
            lost_ND = rows_ND.bfloat16().float().sub_(rows_ND)
            length, lost = (float(torch.linalg.vector_norm(each, dim=1).max()) for each in (rows_ND, lost_ND))
            longest, most_lost = max(longest, length), max(most_lost, lost)
    # Further up than float32 rounds; and squares too small for it are lost from a length.
    return Extent(longest * 1.001, most_lost * 1.001 + rows_ND.shape[1] * TINIEST)
