"""The indexes of faiss in `mixbench bench search`, each by its name there, its recipe and its settings."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

INDEXES = {
    "flat": ("Flat", None),
    "sq8": ("SQ8", None),
    "hnsw": ("HNSW32", "efSearch=128"),
    "ivfpq": ("IVF{lists},PQ{bytes}", "nprobe=32"),
}
"""The recipe of faiss's index_factory, and what a search of it is told."""
TRAINED_WITH = 64
"""Vectors of a list, about: `lists` are as many as leave that, but no more than 4,096."""
DIMENSIONS_OF_A_BYTE = 8

Vectors = NDArray[np.float32]


def build(kind: str, documents_ND: Vectors) -> tuple[str, str, Callable[[Vectors, int], Any]]:
    """Return what an index of inner products is called, a note on its making, and its search.

    The search returns positions (queries, k), best first and -1 where it found too few.
    """
    import faiss

    count, dimension = documents_ND.shape
    recipe, told = INDEXES[kind]
    lists = max(1, min(4_096, count // TRAINED_WITH))
    most = max(1, dimension // DIMENSIONS_OF_A_BYTE)
    codes = max(each for each in range(1, most + 1) if dimension % each == 0)
    recipe = recipe.format(lists=lists, bytes=codes)
    start = time.perf_counter()
    index = faiss.index_factory(dimension, recipe, faiss.METRIC_INNER_PRODUCT)
    index.train(documents_ND)
    index.add(documents_ND)
    seconds = time.perf_counter() - start
    if told is not None:
        space: Any = faiss.ParameterSpace()
        space.set_index_parameters(index, told)
    size = len(faiss.serialize_index(index))
    name = " ".join(filter(None, (recipe, told)))
    note = f"faiss {recipe}: made in {seconds:.1f} s, {size / count:,.0f} bytes a document"
    return name, note, lambda queries_QD, k: index.search(queries_QD, k)[1]
