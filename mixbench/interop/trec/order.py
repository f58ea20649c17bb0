"""The order in which trec_eval ranks: by score cast to float32, equal scores by descending document id."""

from collections.abc import Sequence

import numpy as np

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
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
        rounded_D = np.asarray(scores, dtype=np.float32)
    if len(set(doc_ids)) < len(doc_ids):
        twice = next(doc_id for doc_id in doc_ids if doc_ids.count(doc_id) > 1)
        raise MixbenchError(f"{source} lists document {twice!r} twice for one query; repair the retriever")
    if not np.isfinite(rounded_D).all():
        worst = int(np.argmin(np.isfinite(rounded_D)))
        problem = f"{source} scores document {doc_ids[worst]!r} {rounded_D[worst]}"
        raise MixbenchError(f"{problem}; repair the retriever or model")
    best_first = sorted(zip(rounded_D.astype(float).tolist(), doc_ids, strict=True), reverse=True)
    return [(doc_id, score) for score, doc_id in best_first]
