"""A shortlist for the k best documents of each of some queries, while scores arrive that are not exact.

A value is within its query's margin of the exact score. So k documents score at least the k-th highest value
less the margin, and no document whose value is two margins below that value is among the k best. A margin
also covers the rounding of exact scores to float32: what is left out does not even tie. Values that were
themselves rounded, to a share of what they are, allow for that too.

Shapes: Q queries, N columns (documents), C candidates.
"""

from threading import Lock

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]
Rows = NDArray[np.uint16]

FEWEST = 4_096
"""Candidates below which sorting some out is not worth a sort."""


class Shortlist:
    """Rows (queries), positions (documents) and values, all [C]. At most 65,536 queries.

    Threads may share it: what one works on others do not see. A bar that one sets another may put back to
    what it was; that too leaves out nothing of the best.
    """

    def __init__(self, margins_Q: Floats32, k: int, *, rounding: float = 0.0, room: int = 2) -> None:
        self.k = k
        self.limit = max(room * len(margins_Q) * k, FEWEST)
        self._margins_Q = margins_Q
        self._rounding = rounding
        self._bars_Q = np.full(len(margins_Q), -np.inf, dtype=np.float32)
        self._lock = Lock()
        self._forget()

    def add(self, values_QN: Floats32, start: int) -> None:
        """Take those of the documents at `start`, `start` + 1, ... that may be among the best."""
        count = values_QN.shape[1]
        if count >= self.k and np.isneginf(self._bars_Q).all():
            self._bars_Q = self._bar(kth_highest(values_QN, self.k), self._margins_Q)
        flat_C = np.flatnonzero(values_QN >= self._bars_Q[:, None])
        rows_C = flat_C // count  # which numpy does many at once, unlike divmod
        positions_C = flat_C - rows_C * count + start
        self.keep(rows_C.astype(np.uint16), positions_C, values_QN.reshape(-1)[flat_C])

    def keep(self, rows_C: Rows, positions_C: Ints, values_C: Floats32) -> None:
        """Take all of these."""
        with self._lock:
            self._parts.append((rows_C, positions_C, values_C))
            self.count += len(rows_C)

    def prune(self) -> int:
        """Drop what the values show not to be among the best; return how many of those looked at are kept."""
        rows_C, positions_C, values_C = self._all()
        order_C = np.argsort(rows_C, kind="stable")
        bounds = bounds_of(rows_C[order_C], len(self._bars_Q))
        for row, own_C in enumerate(np.split(values_C[order_C], bounds)):
            if len(own_C) >= self.k:
                bar = self._bar(kth_highest(own_C, self.k), self._margins_Q[row])
                self._bars_Q[row] = max(self._bars_Q[row], bar)
        kept = np.flatnonzero(values_C >= self._bars_Q[rows_C])
        self.keep(rows_C[kept], positions_C[kept], values_C[kept])
        return len(kept)

    def take(self) -> tuple[Rows, Ints, Floats32]:
        """Return rows, positions and values, in the order of rows, and hold none any more."""
        rows_C, positions_C, values_C = self._all()
        order_C = np.argsort(rows_C, kind="stable")
        return rows_C[order_C], positions_C[order_C], values_C[order_C]

    def _bar(self, values: Floats32, margins: Floats32) -> Floats32:
        """Return the least values of the best documents, where k documents have at least `values`."""
        lowest = values - self._rounding * np.abs(values) - 2 * margins
        return (lowest - self._rounding * np.abs(lowest)).astype(np.float32)

    def _all(self) -> tuple[Rows, Ints, Floats32]:
        with self._lock:
            parts = self._parts
            self._forget()
        rows_C, positions_C, values_C = (np.concatenate(part) for part in zip(*parts, strict=True))
        return rows_C, positions_C, values_C

    def _forget(self) -> None:
        self.count = 0
        none = np.empty(0, np.uint16), np.empty(0, np.int64), np.empty(0, np.float32)
        self._parts: list[tuple[Rows, Ints, Floats32]] = [none]


def bounds_of(rows_C: Rows, queries: int) -> Ints:
    """Return where each row but the first begins, in rows that are in order."""
    return np.searchsorted(rows_C, np.arange(1, queries, dtype=rows_C.dtype))


def kth_highest(values: Floats32, k: int) -> Floats32:
    """Return the `k`-th highest along the last dimension, which has at least `k`."""
    at = values.shape[-1] - k
    highest: Floats32 = np.partition(values, at, axis=-1)[..., at]
    return highest
