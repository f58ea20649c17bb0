"""The store of embeddings: where it is, what is in it, whether that is whole."""

import math
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mixbench.errors import InputError
from mixbench.experiments.progress import say
from mixbench.retrievers.encoding import Encoding
from mixbench.retrievers.store import GIB, EmbeddingStore, Shard, models_of

VARIABLE = "MIXBENCH_STORE"
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]i?)B")
LEAST_MEMORY = 2**27
"""Bytes that a search on one thread and the smallest shards of wide embeddings take."""


def store_place() -> Path:
    """Return the store's folder: $MIXBENCH_STORE, else ~/.cache/mixbench/store."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path.home() / ".cache" / "mixbench" / "store"


def open_store(folder: Path | None, gib: float) -> EmbeddingStore:
    """Return the store in `folder`, of None in its usual place, limited to `gib` times 2^30 bytes.

    Raises InputError where the folder is none, or the limit no number.
    """
    if not math.isfinite(gib):
        raise InputError(f"store limit {gib!r}: give a number of GiB, 0 or more")
    return EmbeddingStore(folder or store_place(), limit=round(gib * GIB), say=say)


def open_encoding(folder: Path | None, gib: float, *, stored: bool, memory: str | None = None) -> Encoding:
    """Return how documents are encoded: by a store unless `stored` is false, within `memory`, a size."""
    store = open_store(folder, gib) if stored else None
    return Encoding(store=store, memory=None if memory is None else memory_bytes(memory), say=say)


def memory_bytes(size: str) -> int:
    """Return the bytes of a size as 2GiB, 500MiB or 1.5GB.

    Raises InputError for what is none, and for less than `LEAST_MEMORY`.
    """
    found = SIZE.fullmatch(size.strip())
    if found is None:
        raise InputError(f"memory {size!r}: write a size as 2GiB, 500MiB or 1.5GB")
    number, unit = found.groups()
    base, power = 1024 if unit.endswith("i") else 1000, "KMGT".index(unit[0]) + 1
    wanted = int(float(number) * base**power)
    if wanted < LEAST_MEMORY:
        raise InputError(f"memory {size!r}: a search needs at least {LEAST_MEMORY >> 20}MiB")
    return wanted


def store_rows(store: EmbeddingStore) -> list[dict[str, Any]]:
    """Return a row for each model that a store has embeddings of, then one for all."""
    named = models_of(store.shards())
    rows = [_row(name, shards) for name, shards in sorted(named.items())]
    return [*rows, _row("all", store.shards())]


def drop_damaged(store: EmbeddingStore) -> list[str]:
    """Drop each shard that is not whole, and return a line for each."""
    lines = []
    for shard, problem in store.damaged():
        store.drop(shard)
        lines.append(f"{shard.path}: {problem}; dropped, its texts will be encoded again")
    return lines


def prune_store(store: EmbeddingStore) -> str:
    """Drop what is past a store's limit, and return what that came to."""
    gone = store.prune(store.limit)
    left = store.shards()
    return (
        f"{store.folder}: dropped {len(gone)} shards of {_mb(gone):,.1f} MB,"
        f" kept {len(left)} of {_mb(left):,.1f} MB"
    )


def _row(name: str, shards: Sequence[Shard]) -> dict[str, Any]:
    used = [datetime.fromtimestamp(shard.used).astimezone() for shard in shards]
    return {
        "model": name,
        "shards": len(shards),
        "mb": round(_mb(shards), 3),
        "last_used": max(used).isoformat(" ", "minutes") if used else "",
    }


def _mb(shards: Sequence[Shard]) -> float:
    return sum(shard.bytes for shard in shards) / 1e6
