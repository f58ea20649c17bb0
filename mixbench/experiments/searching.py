"""`mixbench search`: one query, what a model finds for it, and which of that is judged relevant."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from mixbench.data import Document, RetrievalData
from mixbench.errors import InputError, UnknownName
from mixbench.experiments.evaluating import Places, chosen_tasks, load_split_of
from mixbench.experiments.fusing import fit_to_task
from mixbench.experiments.progress import progress_bar
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.interop.trec import trec_order

SNIPPET = 160
"""Characters shown of a document's text."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One document found. `relevance` is its judgment for the query, None where nobody judged it."""

    rank: int
    doc_id: str
    score: float
    relevance: int | None
    title: str
    snippet: str


@dataclass(frozen=True, kw_only=True)
class Search:
    """A query and what was found. `query_id` and `relevant` are None for a query that the task has not."""

    model: str
    task: str
    query: str
    query_id: str | None
    relevant: int | None
    """Documents judged relevant to the query, found or not."""
    hits: Sequence[Hit]

    def to_dict(self) -> dict[str, Any]:
        """Return the search as plain values."""
        return asdict(self)


def run_search(
    model: str, query: str, task: str, places: Places, options: EncoderOptions, *, k: int, part: str = ""
) -> Search:
    """Return the `k` best documents of a task's corpus for `query`: a text, or the id of one of its queries.

    Raises:
        InputError: the name stands for several tasks, the query is empty, or a part must be named.
        MissingData: the task's data is nowhere.
    """
    chosen = chosen_tasks([task], places.tasks_dir)
    if len(chosen) > 1:
        raise InputError(f"{task!r} is {len(chosen)} tasks, as {chosen[0].name!r}; search one")
    if not query.strip():
        raise InputError("the query is empty; give a text, or the id of one of the task's queries")
    load_split = partial(load_split_of, chosen[0], places)
    collections = load_split(chosen[0].eval_split)
    data = _part(collections, part)
    query_id = _query_id(query, data.queries)
    text = query if query_id is None else data.queries[query_id]
    retriever = fit_to_task(open_system(model, options), chosen[0], collections, load_split)
    with progress_bar(f"{retriever.name} on {chosen[0].name}", len(data.corpus) + 1) as advance:
        if hasattr(retriever, "advance"):
            retriever.advance = advance
        retriever.index(data.corpus)
        if hasattr(retriever, "query_ids"):
            retriever.query_ids = [data.prefix + (query_id or "")]
        (ranking,) = retriever.search([text], k)
    judged = data.qrels.get(query_id or "", {})
    found = {doc_id for doc_id, _ in ranking}
    documents = {document.doc_id: document for document in data.corpus if document.doc_id in found}
    absent = Document("", "", "(not in the corpus)")  # as a stored run may have it
    hits = [
        Hit(
            rank=rank,
            doc_id=doc_id,
            score=score,
            relevance=judged.get(doc_id),
            title=documents.get(doc_id, absent).title,
            snippet=snippet(documents.get(doc_id, absent).text, text),
        )
        for rank, (doc_id, score) in enumerate(trec_order(ranking), start=1)
    ]
    relevant = None if query_id is None else sum(grade > 0 for grade in judged.values())
    return Search(
        model=retriever.name, task=chosen[0].name, query=text, query_id=query_id, relevant=relevant, hits=hits
    )


def snippet(text: str, query: str, length: int = SNIPPET) -> str:
    """Return at most `length` characters of `text`, on one line, from where a long word of `query` stands."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    words = [re.escape(word) for word in re.findall(r"\w{4,}", query)]
    found = re.search(rf"\b(?:{'|'.join(words)})", line, re.IGNORECASE) if words else None
    start = min(found.start(), len(line) - length) if found else 0
    start = line.rfind(" ", 0, start) + 1
    end = start + length
    if end < len(line):
        end = max(line.rfind(" ", start, end), start + length // 2)
    return "… " * (start > 0) + line[start:end].strip() + " …" * (end < len(line))


def _query_id(query: str, queries: Mapping[str, str]) -> str | None:
    if query in queries:
        return query
    return next((query_id for query_id, text in queries.items() if text.strip() == query.strip()), None)


def _part(data: Sequence[RetrievalData], part: str) -> RetrievalData:
    parts = {collection.part: collection for collection in data}
    if part not in parts and not part:
        raise InputError(f"this task has several parts; name one with --part: {', '.join(parts)}")
    if part not in parts:
        raise UnknownName.of("part", part, [name for name in parts if name])
    return parts[part]
