"""From a model's name to what scores the documents of known items: embeddings, or its own rankings."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mixbench.errors import InputError
from mixbench.experiments.evaluating import Places, load_split_of
from mixbench.experiments.fusing import fit_to_task
from mixbench.experiments.known_items import KnownItems
from mixbench.experiments.progress import progress_bar
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.probes.scorers import EmbeddingScorer, RankingScorer, Scorer, sign_binarised
from mixbench.retrievers import Retriever
from mixbench.retrievers.dense import DenseRetriever


class ItemEmbeddings(NamedTuple):
    """Embeddings of known items, on the CPU, in the order of the items."""

    queries: Tensor
    """(Q, d) float32"""
    documents: Tensor
    """(N, d) float32"""


def open_for(model: str, items: KnownItems, places: Places, options: EncoderOptions) -> Retriever:
    """Return the system called `model`, as it runs on the task of `items` where they have one."""
    system = open_system(model, options)
    if items.task is None:
        return system
    return fit_to_task(system, items.task, items.data, partial(load_split_of, items.task, places))


def embed(retriever: Retriever, items: KnownItems) -> ItemEmbeddings:
    """Return the embeddings of `items`. Raises InputError for a system that has none."""
    if not isinstance(retriever, DenseRetriever):
        raise InputError(f"model {retriever.name!r} has no embedding for a text; give an encoder")
    texts = len(items.queries) + len(items.documents)
    with progress_bar(f"{retriever.name} on {items.name}", texts) as advance, torch.no_grad():
        retriever.advance = advance
        return ItemEmbeddings(
            retriever.encode_queries(list(items.queries.values())).float().cpu(),
            retriever.encode_documents(items.documents).float().cpu(),
        )


def open_scorer(
    retriever: Retriever, items: KnownItems, *, device: str = "cpu", signs: bool = False
) -> Scorer:
    """Return what scores `items`: a dense retriever by its embeddings and similarity, others by their search.

    With `signs` embeddings are cut to their signs first, see `sign_binarised`. Raises InputError for a
    system that has no embeddings to cut.
    """
    if signs or isinstance(retriever, DenseRetriever):
        queries, documents = embed(retriever, items)
        if signs:
            queries, documents = sign_binarised(queries), sign_binarised(documents)
        similarity = getattr(retriever, "similarity", "cosine")
        return EmbeddingScorer(queries, documents, similarity=similarity, device=device)
    retriever.index(items.documents)
    return RankingScorer(retriever, items.queries, [document.doc_id for document in items.documents])
