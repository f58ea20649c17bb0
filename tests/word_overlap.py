"""A real retriever of twenty lines, and a collection of four documents, for the tests of what uses them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixbench.data import Document, RetrievalData
from mixbench.evaluation import evaluate, save_evaluation
from mixbench.results import Result
from mixbench.retrievers import Ranking
from mixbench.tasks import Task

CORPUS = (
    Document("d1", "Tides", "the moon moves the sea"),
    Document("d2", "", "the sea is salt"),
    Document("d3", "", "bread needs salt and flour"),
    Document("q1", "", "what moves the sea"),
)
QUERIES = {"q1": "what moves the sea", "q2": "flour for bread", "q3": "zebra"}
QRELS = {"q1": {"d1": 2, "d2": 0}, "q2": {"d3": 1}, "q3": {"d2": 1}}


class WordOverlap:
    """Ranks documents by the words that they share with the query, each worth `weight`."""

    def __init__(
        self,
        name: str = "overlap",
        *,
        weight: float = 1.0,
        training_sources: Sequence[str] = (),
        model_sha256: str = "",
    ) -> None:
        self.name = name
        self.training_sources = training_sources
        self.training_command: str | None = None
        self.parameters = 1
        self.index_bytes = 0
        self.recipe: Mapping[str, Any] = {"weight": weight, "model_sha256": model_sha256}
        self._words: list[tuple[str, set[str]]] = []

    def index(self, corpus: Sequence[Document]) -> None:
        self._words = [(document.doc_id, set(document.content.lower().split())) for document in corpus]
        self.index_bytes = sum(len(words) for _, words in self._words)

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        return [self._rank(set(query.lower().split()), k) for query in queries]

    def _rank(self, query: set[str], k: int) -> Ranking:
        weight = float(self.recipe["weight"])
        scored = [(doc_id, weight * len(words & query)) for doc_id, words in self._words if words & query]
        return sorted(scored, key=lambda entry: (entry[1], entry[0]), reverse=True)[:k]


def make_task(name: str = "toy/sea", **fields: Any) -> Task:
    """A task of one collection; its fields as given."""
    required = {"description": "A toy.", "folder": "sea", "eval_split": "test", "licence": "CC0-1.0"}
    return Task(name=name, **{**required, "redistribute": True, **fields})


def make_data(corpus: Sequence[Document] = CORPUS, part: str = "") -> RetrievalData:
    """The four documents and three queries."""
    return RetrievalData(
        corpus=corpus, queries=QUERIES, qrels=QRELS, split="test", source="folder", part=part
    )


def store(output: Path, retriever: WordOverlap, task: Task, *, dirty: bool = False) -> Result:
    """Evaluate on the toy data and write the result as made by committed code, or not."""
    evaluation = evaluate(retriever, task, [make_data()], command=f"mixbench eval -m {retriever.name}")
    provenance = evaluation.result.provenance.model_copy(update={"dirty": dirty, "machine": "A processor"})
    result = evaluation.result.model_copy(update={"provenance": provenance})
    save_evaluation(output, type(evaluation)(**{**vars(evaluation), "result": result}))
    return result
