"""mteb's exact search over embeddings that are there already, so that it can be timed and compared alone."""

from collections.abc import Sequence
from typing import Any

import mteb
import torch
from mteb.models.search_wrappers import chunked_full_corpus_search
from mteb.similarity_functions import dot_score
from torch import Tensor

CHUNK_SIZE = 50_000
"""Documents that mteb scores at a time unless told otherwise."""
TASK = "NFCorpus"
"""Any retrieval task of text: its metadata are asked for, and have no effect."""


class Rows:
    """A corpus of ids alone, as much of a `datasets.Dataset` as mteb's search asks for.

    Preparing texts is no search: `map`, by which mteb does that, changes nothing.
    """

    def __init__(self, doc_ids: Sequence[str], start: int = 0) -> None:
        self.doc_ids = doc_ids
        self.start = start
        self.column_names = ["id", "text"]

    def __len__(self) -> int:
        return len(self.doc_ids)

    def __getitem__(self, column: str) -> Sequence[str]:
        return self.doc_ids

    def select(self, rows: range) -> "Rows":
        """Return some of the rows, in a run."""
        return Rows(self.doc_ids[rows.start : rows.stop], rows.start)

    def map(self, *_: Any, **__: Any) -> "Rows":
        """Return the same rows."""
        return self


def search_by_mteb(
    doc_ids: Sequence[str], documents_ND: Tensor, queries_QD: Tensor, k: int
) -> list[list[tuple[float, str]]]:
    """Return (score, doc_id) of the `k` best documents of each query by dot product, in no order.

    Embeddings are float32 (documents, D) and (queries, D). It is `chunked_full_corpus_search` of mteb, which
    encodes and scores 50,000 documents at a time; here encoding is a slice.
    """

    def encode(loader: Any, **_: Any) -> Tensor:
        rows: Rows = loader.dataset
        return documents_ND[rows.start : rows.start + len(rows)]

    corpus: Any = Rows(doc_ids)
    with torch.inference_mode():
        found = chunked_full_corpus_search(
            task_corpus=corpus,
            corpus_chunk_size=CHUNK_SIZE,
            query_idx_to_id={number: str(number) for number in range(len(queries_QD))},
            query_embeddings=queries_QD,
            task_metadata=mteb.get_task(TASK).metadata,
            hf_subset="default",
            hf_split="test",
            top_k=k,
            encode_kwargs={"show_progress_bar": False},
            encode_fn=encode,
            similarity_fn=dot_score,
            search_k_offset=1,
        )
    return list(found.values())
