"""A first stage for reranking that ranks documents as it is told."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mixbench.data import Document
from mixbench.retrievers import Ranking


class InOrder:
    """Ranks all documents in the order in which they were indexed, and tells of each text."""

    name = "in-order"
    parameters = 2
    training_sources: Sequence[str] | None = ("a", "b")
    recipe: Mapping[str, Any] = {"kind": "in order"}
    index_bytes = 5

    def __init__(self) -> None:
        self.advance: Callable[[int], None] = lambda texts: None

    def index(self, corpus: Sequence[Document]) -> None:
        self.doc_ids = [document.doc_id for document in corpus]
        for _ in corpus:
            self.advance(1)

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        for _ in queries:
            self.advance(1)
        ranking = [(doc_id, float(-place)) for place, doc_id in enumerate(self.doc_ids)]
        return [ranking[:k] for _ in queries]
