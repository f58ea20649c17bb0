"""Training pairs: a query and a text that answers it, read from files or from a task's train split."""

import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mixbench.data.retrieval_data import RetrievalData
from mixbench.errors import InputError
from mixbench.files import OPENERS, numbered_lines, parse_json

HALF_SURROGATE = re.compile("[\ud800-\udfff]")
LINE = "a line is {'query': ..., 'positive': ...}"


@dataclass(frozen=True)
class Pairs:
    """Queries and their positives, side by side, under the name that a record and a result show.

    `negatives` are the hard negatives of each pair, of some pairs perhaps none; None where the source has no
    such column.
    """

    name: str
    queries: Sequence[str]
    positives: Sequence[str]
    negatives: Sequence[tuple[str, ...]] | None = None

    def __len__(self) -> int:
        return len(self.queries)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the pairs in their order; how the file spells or compresses them does not enter.

        Negatives do, where the source has them.
        """
        digest = hashlib.sha256()
        columns = [self.queries, self.positives, *([] if self.negatives is None else [self.negatives])]
        for pair in zip(*columns, strict=True):
            digest.update(json.dumps(pair, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()

    def take(self, indices: Iterable[int]) -> "Pairs":
        """Return the pairs at `indices`, in that order, under the same name."""
        chosen = list(indices)
        negatives = None if self.negatives is None else [self.negatives[i] for i in chosen]
        return Pairs(
            self.name, [self.queries[i] for i in chosen], [self.positives[i] for i in chosen], negatives
        )


@dataclass(frozen=True, kw_only=True)
class PairSource:
    """Pairs to train on, and what a record says of them.

    `weight` repeats (2) or samples (0.5) the pairs. `excluded` holds the counts that `exclude` returned, and
    `read_sha256` the hash of the pairs as they were read, before exclusion and holding out.
    """

    pairs: Pairs
    weight: float = 1.0
    licence: str = ""
    read_sha256: str = ""
    excluded: Mapping[str, int] = field(default_factory=dict)


def normalise(text: str) -> str:
    """Return `text` case-folded, its white space collapsed: two texts that agree in it count as one."""
    return " ".join(text.casefold().split())


def read_pairs(path: Path) -> Pairs:
    """Read pairs from a .jsonl file (also .gz, .xz, .bz2) or a .parquet file with `query` and `positive`.

    A line may have `negatives`, a list of texts; where it is absent or null, that pair has none. The name is
    the file's, without its suffixes.

    Raises:
        InputError: the file cannot be read, holds no pair, a line is no pair of two non-empty texts, or its
            negatives are no list of such texts.
    """
    suffixes = [suffix for suffix in path.suffixes if suffix not in OPENERS]
    if not path.exists():
        raise InputError.at(path, None, "no such file; give a file of pairs, jsonl or parquet")
    if suffixes[-1:] == [".parquet"]:
        rows = _parquet_rows(path)
    elif suffixes[-1:] in ([".jsonl"], [".json"]):
        rows = _json_rows(path)
    else:
        raise InputError.at(path, None, "pairs are read from .jsonl (also .gz, .xz, .bz2) and .parquet files")
    pairs, negatives = [], []
    for number, row in rows:
        pairs.append(_checked(row, path, number))
        negatives.append(_checked_negatives(row, path, number))
    if not pairs:
        raise InputError.at(path, None, f"holds no pairs; {LINE}")
    name = path.name[: path.name.index(suffixes[-1])]
    return Pairs(
        name,
        [query for query, _ in pairs],
        [positive for _, positive in pairs],
        None if all(texts is None for texts in negatives) else [texts or () for texts in negatives],
    )


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in numbered_lines(path):
        try:
            yield number, parse_json(line)
        except json.JSONDecodeError as error:
            raise InputError.at(path, number, f"not JSON ({error.msg} at column {error.colno})") from None
        except ValueError as error:
            raise InputError.at(path, number, f"JSON that cannot be used: {error}") from None


def _parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise InputError.at(path, None, "reading parquet needs pyarrow: pip install pyarrow") from None
    try:
        rows: list[Any] = parquet.read_table(path).to_pylist()
    except Exception as error:  # those of Arrow are of many kinds, and its texts may be no UTF-8
        reason = " ".join(str(error).split())[:200]
        raise InputError.at(path, None, f"cannot be read as parquet ({reason})") from None
    return enumerate(rows, start=1)


def _checked(row: Any, path: Path, number: int) -> tuple[str, str]:
    if not isinstance(row, dict):
        raise InputError.at(path, number, f"not an object with 'query' and 'positive' but {row!r:.60}")
    for key in ("query", "positive"):
        if key not in row:
            raise InputError.at(path, number, f"no {key!r}, its keys are {sorted(row)!r:.200}; {LINE}")
        _check_text(row[key], repr(key), path, number)
    return row["query"], row["positive"]


def _checked_negatives(row: Any, path: Path, number: int) -> tuple[str, ...] | None:
    negatives = row.get("negatives")
    if negatives is None:
        return None
    if not isinstance(negatives, list):
        raise InputError.at(path, number, f"'negatives' must be a list of texts, not {negatives!r:.60}")
    for place, text in enumerate(negatives, start=1):
        _check_text(text, f"text {place} of 'negatives'", path, number)
    return tuple(negatives)


def _check_text(text: Any, what: str, path: Path, number: int) -> None:
    if not isinstance(text, str) or not text.strip():
        raise InputError.at(path, number, f"{what} must be a non-empty text, not {text!r:.60}")
    if HALF_SURROGATE.search(text):
        raise InputError.at(path, number, f"{what} holds half a surrogate pair; write the text as UTF-8")


def pairs_from_task(name: str, data: RetrievalData) -> Pairs:
    """Return a pair for each relevant document of each query in `data`, a train split, called `name`.

    Raises:
        InputError: nothing is judged relevant.
    """
    contents = {doc.doc_id: doc.content for doc in data.corpus}
    judged = [
        (data.queries[query_id], contents[doc_id])
        for query_id, relevances in data.qrels.items()
        for doc_id, relevance in relevances.items()
        if relevance > 0
    ]
    pairs = [pair for pair in judged if all(text.strip() for text in pair)]
    if not pairs:
        raise InputError(f"{name}: its {data.split!r} split judges no document relevant: nothing to train on")
    return Pairs(name, [query for query, _ in pairs], [positive for _, positive in pairs])


def exclude(pairs: Pairs, tests: Sequence[RetrievalData]) -> tuple[Pairs, dict[str, int]]:
    """Drop the pairs that would leak `tests`, and count them by the first reason that holds.

    "test_query": the query is a test query. "test_document": the positive is relevant to one, its title
    included or not. Texts are compared as `normalise` gives them. Hard negatives are not looked at: one that
    is a test document says nothing of what it answers.
    """
    queries, documents = set[str](), set[str]()
    for data in tests:
        queries.update(map(normalise, data.queries.values()))
        relevant = {doc_id for judged in data.qrels.values() for doc_id, level in judged.items() if level > 0}
        for doc in data.corpus:
            if doc.doc_id in relevant:
                documents.update((normalise(doc.content), normalise(doc.text)))
    documents.discard("")
    counts = {"test_query": 0, "test_document": 0}
    kept = []
    for position, (query, positive) in enumerate(zip(pairs.queries, pairs.positives, strict=True)):
        if normalise(query) in queries:
            counts["test_query"] += 1
        elif normalise(positive) in documents:
            counts["test_document"] += 1
        else:
            kept.append(position)
    return pairs.take(kept), counts


def hold_out(pairs: Pairs, n: int, seed: int) -> tuple[Pairs, Pairs]:
    """Split `pairs` into (train, dev): whole passages go to dev until it has at least `n` pairs.

    No positive of dev is a positive of train. The same pairs, `n` and `seed` give the same split.

    Raises:
        InputError: fewer than `n` + 2 pairs, or too few passages to leave any for training.
    """
    keys = [normalise(positive) for positive in pairs.positives]
    passages: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        passages.setdefault(key, []).append(position)
    order = list(passages)
    random.Random(seed).shuffle(order)
    dev: list[int] = []
    for key in order:
        if len(dev) >= n:
            break
        dev.extend(passages[key])
    held = set(dev)
    if len(held) > len(pairs) - 2:
        raise InputError(f"{pairs.name}: cannot hold {n} dev pairs out of {len(pairs)}; hold out fewer")
    return pairs.take(i for i in range(len(pairs)) if i not in held), pairs.take(sorted(held))


def weighted(pairs: Pairs, weight: float, seed: int) -> Pairs:
    """Repeat pairs (weight 2) or sample them without replacement (0.5: half of them); 2.5 does both.

    Raises:
        InputError: the weight is not a positive number, or leaves no pair.
    """
    count = round(weight * len(pairs)) if 0 < weight < float("inf") else 0
    if count == 0:
        raise InputError(f"{pairs.name}: weight {weight!r} leaves no pair; give a number above 0")
    whole, rest = divmod(count, len(pairs))
    sampled = sorted(random.Random(seed).sample(range(len(pairs)), rest))
    return pairs.take([*range(len(pairs))] * whole + sampled)
