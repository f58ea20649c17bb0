"""Data that the package carries: `embedded/<name>.jsonl.xz`, one JSON object a line, told apart by "kind".

    {"kind": "about", ...}                                         first line: what it is, licence, origin
    {"kind": "document", "doc_id": ..., "title": ..., "text": ...}
    {"kind": "query", "query_id": ..., "text": ..., "split": ...}
    {"kind": "judgment", "query_id": ..., "doc_id": ..., "relevance": 1, "split": ...}

These files are built by scripts of this project and checked when built, so reading trusts them.
"""

import json
import lzma
from collections.abc import Iterator
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from typing import Any

from mixbench.data.retrieval_data import Document, RetrievalData
from mixbench.errors import InputError


def frozen_file(name: str) -> Traversable:
    """Return where the embedded file `name` is in the package, whether or not it exists."""
    return files("mixbench").joinpath("data", "embedded", f"{name}.jsonl.xz")


def read_frozen(name: str, split: str) -> RetrievalData:
    """Return one split of an embedded file: the whole corpus, and the queries that have a relevant document.

    Raises InputError for a split that it does not have.
    """
    corpus: list[Document] = []
    texts: dict[str, str] = {}
    judgments: dict[str, dict[str, int]] = {}
    splits: set[str] = set()
    for record in _records(name):
        match record["kind"]:
            case "document":
                corpus.append(Document(record["doc_id"], record["title"], record["text"]))
            case "query" if record["split"] == split:
                texts[record["query_id"]] = record["text"]
            case "judgment":
                splits.add(record["split"])
                if record["split"] == split:
                    judgments.setdefault(record["query_id"], {})[record["doc_id"]] = record["relevance"]
    if split not in splits:
        raise InputError(f"{frozen_file(name)}: no split {split!r}; splits here: {', '.join(sorted(splits))}")
    qrels = {query_id: judged for query_id, judged in judgments.items() if max(judged.values()) > 0}
    queries = {query_id: text for query_id, text in texts.items() if query_id in qrels}
    return RetrievalData(corpus=corpus, queries=queries, qrels=qrels, split=split, source="embedded")


def read_about(name: str) -> dict[str, Any]:
    """Return what an embedded file says of itself: its licence, its origin and how it was made."""
    about = dict(next(_records(name)))
    del about["kind"]
    return about


def _records(name: str) -> Iterator[dict[str, Any]]:
    with as_file(frozen_file(name)) as path, lzma.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        for line in stream:
            yield json.loads(line)
