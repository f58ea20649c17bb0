"""The order in which trec_eval ranks: by score cast to float32, equal scores by descending document id."""

import math
from array import array
from collections.abc import Sequence

from mixbench.errors import MixbenchError


def trec_order(
    ranking: Sequence[tuple[str, float]], *, source: str = "the retriever"
) -> list[tuple[str, float]]:
    """Return a ranking with its scores as float32 values, in the order in which trec_eval ranks it.

    Raises MixbenchError, which blames `source`, for a score that is no finite number and for a document
    listed twice.
    """
    if not ranking:
        return []
    doc_ids, scores = zip(*ranking, strict=True)
    rounded = array("f", scores).tolist()  # what is too large becomes infinite, and is refused below
    if len(set(doc_ids)) < len(doc_ids):
        twice = next(doc_id for doc_id in doc_ids if doc_ids.count(doc_id) > 1)
        raise MixbenchError(f"{source} lists document {twice!r} twice for one query; repair the retriever")
    if not all(map(math.isfinite, rounded)):
        pairs = zip(doc_ids, rounded, strict=True)
        doc_id, score = next(pair for pair in pairs if not math.isfinite(pair[1]))
        raise MixbenchError(f"{source} scores document {doc_id!r} {score}; repair the retriever or model")
    best_first = sorted(zip(rounded, doc_ids, strict=True), reverse=True)
    return [(doc_id, score) for score, doc_id in best_first]
