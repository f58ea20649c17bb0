"""Known items: queries that each look for one document, from a task or from a file of pairs.

Documents are by descending doc_id, so that of two equal scores the earlier one ranks as in trec_eval.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixbench.data import Document, RetrievalData, load_data, task_sha256
from mixbench.data.pairs import normalise, read_pairs
from mixbench.errors import InputError
from mixbench.experiments.evaluating import Places, chosen_tasks
from mixbench.probes.ranks import Ints
from mixbench.results import in_domain_sources
from mixbench.tasks import Task


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownItems:
    """Queries, documents, and which document each query looks for."""

    name: str
    """Of the task, or of the file without its suffixes."""
    sha256: str
    """Of the task's data, or of all pairs of the file."""
    queries: Mapping[str, str]
    """query_id -> text, Q of them"""
    documents: Sequence[Document]
    positives: Ints
    """(Q,) position of the document that each query looks for. Queries with the same one are a cluster."""
    left_out: int
    """Queries that have several relevant documents, or none."""
    task: Task | None = None
    data: Sequence[RetrievalData] = ()
    """The task and all of its data, where there is a task."""

    def in_domain(self, training_sources: Iterable[str] | None) -> list[str]:
        """Return which of a model's training sources are this data: by the task, or by the file's name."""
        sources = training_sources or ()
        if self.task is not None:
            return list(in_domain_sources(self.task, sources))
        return sorted(source for source in sources if source.casefold() == self.name.casefold())


def known_items(
    task: str | None, pairs: Path | None, places: Places, *, limit: int | None = None, seed: int = 0
) -> KnownItems:
    """Return the known items of a task or of a file of pairs, whichever is given.

    Raises InputError where both are given or neither, and as `items_of_task` and `items_of_pairs` do.
    """
    if (task is None) == (pairs is None):
        raise InputError("give one source of known items: --task NAME or --pairs FILE")
    if pairs is not None:
        return items_of_pairs(pairs, limit=limit, seed=seed)
    if limit is not None:
        raise InputError("--limit takes some pairs of a file; leave it out with --task")
    assert task is not None
    return items_of_task(task, places)


def items_of_task(name: str, places: Places) -> KnownItems:
    """Return the queries of a task that have one relevant document each, and its whole corpus.

    Raises:
        InputError: the name stands for several tasks, the task has several parts, or no query is such.
        MissingData: its data is nowhere.
    """
    chosen = chosen_tasks([name], places.tasks_dir)
    if len(chosen) > 1:
        raise InputError(f"{name!r} is {len(chosen)} tasks, as {chosen[0].name!r}; give one")
    (task,) = chosen
    collections = load_data(task, data_dir=places.data_dir, offline=places.offline)
    if len(collections) > 1:
        raise InputError(f"{task.name} has {len(collections)} parts, each with a corpus; give a task of one")
    (data,) = collections
    relevant = {
        query_id: [doc_id for doc_id, relevance in data.qrels.get(query_id, {}).items() if relevance > 0]
        for query_id in data.queries
    }
    return _items(
        task.name,
        task_sha256(collections),
        {query_id: data.queries[query_id] for query_id in relevant},
        data.corpus,
        relevant,
        task=task,
        data=collections,
    )


def items_of_pairs(path: Path, *, limit: int | None = None, seed: int = 0) -> KnownItems:
    """Return the different queries of a file of pairs, and its different positives as documents.

    Texts are compared as `normalise` gives them. `limit` takes so many pairs at random.

    Raises:
        InputError: the file cannot be used, or no query has one positive alone.
    """
    pairs = read_pairs(path)
    chosen = range(len(pairs))
    if limit is not None and limit < len(pairs):
        chosen = sorted(random.Random(seed).sample(chosen, limit))  # type: ignore[assignment]
    queries: dict[str, str] = {}
    documents: dict[str, Document] = {}
    relevant: dict[str, list[str]] = {}
    by_text: dict[str, str] = {}
    for number in chosen:
        text, positive = pairs.queries[number], pairs.positives[number]
        query_id = by_text.setdefault(normalise(text), f"{number:08}")
        document = documents.setdefault(normalise(positive), Document(f"{number:08}", "", positive))
        queries.setdefault(query_id, text)
        if document.doc_id not in relevant.setdefault(query_id, []):
            relevant[query_id].append(document.doc_id)
    return _items(pairs.name, pairs.sha256, queries, list(documents.values()), relevant)


def _items(
    name: str,
    sha256: str,
    queries: Mapping[str, str],
    corpus: Sequence[Document],
    relevant: Mapping[str, Sequence[str]],
    *,
    task: Task | None = None,
    data: Sequence[RetrievalData] = (),
) -> KnownItems:
    documents = sorted(corpus, key=lambda document: document.doc_id, reverse=True)
    positions = {document.doc_id: position for position, document in enumerate(documents)}
    kept = {query_id: text for query_id, text in queries.items() if len(relevant[query_id]) == 1}
    if not kept:
        raise InputError(f"{name}: no query has exactly one relevant document; give a known-item task")
    return KnownItems(
        name=name,
        sha256=sha256,
        queries=kept,
        documents=documents,
        positives=np.array([positions[relevant[query_id][0]] for query_id in kept], dtype=np.int64),
        left_out=len(queries) - len(kept),
        task=task,
        data=data,
    )
