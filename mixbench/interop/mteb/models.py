"""Our retrievers as models of mteb: two plain callables behind mteb's search protocol.

The meta's revision is a content hash, since mteb's result cache knows a model by name and revision only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from datasets import Dataset
from mteb import TaskMetadata
from mteb.models import ModelMeta

Row = tuple[str, str, str]
"""A document: doc_id, title, text."""
Scored = Sequence[tuple[str, float]]

SCORES_AT_ONCE = 4_000_000
"""Scores held while the candidates of a reranking task are picked from whole rankings."""


class SearchModel:
    """A retriever as mteb's search protocol has it; made by `search_model`."""

    def __init__(
        self,
        meta: ModelMeta,
        index: Callable[[list[Row]], None],
        search: Callable[[list[str], int], Sequence[Scored]],
    ) -> None:
        self.mteb_model_meta = meta
        self._index = index
        self._search = search
        self._documents = 0

    def index(
        self,
        corpus: Dataset,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: Mapping[str, Any],
        num_proc: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Index a corpus of mteb: columns id, text and, where there is one, title."""
        ids, texts = list(corpus["id"]), list(corpus["text"])
        titles = list(corpus["title"]) if "title" in corpus.column_names else [""] * len(ids)
        rows = [(doc_id, title or "", text) for doc_id, title, text in zip(ids, titles, texts, strict=True)]
        self._documents = len(rows)
        self._index(rows)

    def search(
        self,
        queries: Dataset,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Mapping[str, Any],
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        num_proc: int | None = None,
        **kwargs: Any,
    ) -> dict[str, dict[str, float]]:
        """Return query_id -> doc_id -> score, of the candidates only where `top_ranked` names them.

        Candidates are picked from the ranking of the whole corpus, so none is lost to a cut-off.
        """
        query_ids, texts = list(queries["id"]), [_query_text(row) for row in queries]
        if top_ranked is None:
            rankings = self._search(texts, min(top_k, self._documents))
            return {query_id: dict(ranking) for query_id, ranking in zip(query_ids, rankings, strict=True)}
        results: dict[str, dict[str, float]] = {}
        for query_id, ranking in zip(query_ids, self._whole_rankings(texts), strict=True):
            candidates = set(top_ranked.get(query_id, ()))
            kept = [(doc_id, score) for doc_id, score in ranking if doc_id in candidates]
            results[query_id] = dict(kept[:top_k])
        return results

    def _whole_rankings(self, texts: list[str]) -> Iterator[Scored]:
        at_once = max(1, SCORES_AT_ONCE // max(1, self._documents))
        for start in range(0, len(texts), at_once):
            yield from self._search(texts[start : start + at_once], self._documents)


def search_model(
    *,
    name: str,
    revision: str,
    index: Callable[[list[Row]], None],
    search: Callable[[list[str], int], Sequence[Scored]],
    parameters: int = 0,
    training_datasets: Iterable[str] = (),
) -> SearchModel:
    """Return an object that `mteb.evaluate` takes as a model.

    `index` takes (doc_id, title, text) rows and replaces the index; `search` takes queries and a depth and
    returns one list of (doc_id, score) a query, best first. `name` is shown as "mixbench/NAME". `revision` is
    a hash of all that can change a ranking: mteb reuses a cached score where name and revision agree.
    """
    meta = ModelMeta.create_empty(
        overwrites={
            "name": "mixbench/" + name.strip("/").replace("/", "__"),
            "revision": revision,
            "n_parameters": parameters,
            "training_datasets": set(training_datasets),
            "languages": None,
            "framework": [],
        }
    )
    return SearchModel(meta, index, search)


def _query_text(row: Mapping[str, Any]) -> str:
    """Return a query as mteb's own models read it: followed by its instruction, a dialogue in one string."""
    text, instruction = row["text"], row.get("instruction")
    if isinstance(text, str):
        return text if instruction is None else f"{text} {instruction}"
    turns = [turn if isinstance(turn, str) else f"{turn['role']}: {turn['content']}" for turn in text]
    dialogue = "; ".join(turns)
    return dialogue if instruction is None else f"{instruction} {dialogue}"
