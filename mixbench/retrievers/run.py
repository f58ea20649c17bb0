"""A stored run as a retriever: rankings that were made elsewhere, found again by query id.

Nothing is searched, so costs are those of looking up. Documents that the corpus does not have stay where they
are, and count as not relevant: so does trec_eval, which knows no corpus.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from mixbench.data import Document, RetrievalData
from mixbench.errors import MixbenchError
from mixbench.interop.trec import Run, trec_order, write_run
from mixbench.retrievers.protocol import Ranking


class RunRetriever:
    """The rankings of a run; a `Retriever` that answers to `query_ids`, not to texts.

    A query that the run lacks gets an empty ranking; queries and documents that the task lacks are not looked
    at here. `misfits` says how many there are of each.
    """

    training_sources: Sequence[str] | None = None
    parameters = 0
    index_bytes = 0

    def __init__(self, run: Run, *, name: str) -> None:
        self.name, self.tag = name, run.tag
        self._rankings = {query_id: trec_order(ranking) for query_id, ranking in run.rankings.items()}
        ordered = dict(sorted(self._rankings.items()))
        self._sha256 = hashlib.sha256(write_run(ordered, tag="run").encode()).hexdigest()
        self.query_ids: Sequence[str] | None = None

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The SHA-256 of the rankings; the tag, the order of queries and ranks as written do not enter."""
        return {"kind": "run", "sha256": self._sha256}

    def index(self, corpus: Sequence[Document]) -> None:
        """Do nothing: the rankings are made."""

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """Return the first `k` documents of each query's ranking, or as many as the run has.

        Raises MixbenchError where `query_ids` was not set for this search, and where the run has none of
        them.
        """
        query_ids, self.query_ids = self.query_ids, None  # good for one search: stale ids must answer nothing
        if query_ids is None or len(query_ids) != len(queries):
            raise MixbenchError(f"{self.name!r} is a stored run; set its query_ids before each search")
        if queries and not any(query_id in self._rankings for query_id in query_ids):
            problem = f"{self.name!r} ranks none of these {len(queries)} queries ({query_ids[0]!r} is one)"
            raise MixbenchError(f"{problem}; give a run of this task and split")
        return [self._rankings.get(query_id, [])[:k] for query_id in query_ids]

    def misfits(self, data: Sequence[RetrievalData]) -> list[str]:
        """Return, a line each, what the run and the collections of a task do not have in common."""
        wanted = {each.prefix + query_id: each for each in data for query_id in each.queries}
        foreign = sum(query_id not in wanted for query_id in self._rankings)
        lacking = sum(not self._rankings.get(query_id) for query_id in wanted)
        corpora = {each.part: {document.doc_id for document in each.corpus} for each in data}
        unknown = {
            doc_id
            for query_id, each in wanted.items()
            for doc_id, _ in self._rankings.get(query_id, [])
            if doc_id not in corpora[each.part]
        }
        lines = []
        if foreign:
            lines.append(f"{foreign} of its {len(self._rankings)} queries are not evaluated: ignored")
        if lacking:
            lines.append(f"{lacking} of the task's {len(wanted)} queries are not in it: each scores 0")
        if unknown:
            kept = "they keep their ranks and count as not relevant, as in trec_eval"
            lines.append(f"{len(unknown)} of its documents ({min(unknown)!r}) are not in the corpus: {kept}")
        return [f"{self.name}: {line}" for line in lines]
