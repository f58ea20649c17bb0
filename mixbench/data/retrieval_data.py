"""RetrievalData: what every source gives, and the only form in which retrieval data travels."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable


class Document(NamedTuple):
    """One document of a corpus. `title` is empty where the collection has none."""

    doc_id: str
    title: str
    text: str

    @property
    def content(self) -> str:
        """Title and text, joined by a space as mteb and beir join them."""
        return f"{self.title} {self.text}".strip() if self.title else self.text.strip()


Qrels = Mapping[str, Mapping[str, int]]
"""Judgments: query_id -> doc_id -> relevance, above 0 for relevant."""


@dataclass(frozen=True, kw_only=True)
class RetrievalData:
    """One collection: a corpus, the judged queries of one split, and the judgments."""

    corpus: Sequence[Document]
    queries: Mapping[str, str]
    qrels: Qrels
    split: str
    source: str
    """Where it was read: "folder", "embedded", "hub" or "ir_datasets"."""
    part: str = ""
    """The part of a task that is the mean over several collections, else empty."""

    @property
    def prefix(self) -> str:
        """What stands before a query's id in the scores and runs of a task: "part/", or nothing."""
        return f"{self.part}/" if self.part else ""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the normalised data: documents, queries and judgments, each sorted by id.

        File layout, file order and JSON spelling do not enter; one changed character of a text does.
        """
        digest = hashlib.sha256()
        for doc in in_order(self.corpus):
            digest.update(_line("document", *doc))
        for query_id in sorted(self.queries):
            digest.update(_line("query", query_id, self.queries[query_id]))
        for query_id in sorted(self.qrels):
            for doc_id, relevance in sorted(self.qrels[query_id].items()):
                digest.update(_line("judgment", query_id, doc_id, relevance))
        return digest.hexdigest()


def _line(*fields: str | int) -> bytes:
    return (
        json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
    )


@runtime_checkable
class Ordering(Protocol):
    """A corpus that orders itself, as one on disk does without reading its texts."""

    def in_order(self, *, reverse: bool) -> Sequence[Document]: ...


def in_order(corpus: Sequence[Document], *, reverse: bool = False) -> Sequence[Document]:
    """Return the documents of a corpus by their ids, ascending or descending; what is on disk stays there."""
    if isinstance(corpus, Ordering):
        return corpus.in_order(reverse=reverse)
    return sorted(corpus, key=lambda document: document.doc_id, reverse=reverse)
