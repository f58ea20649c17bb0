"""Scores of each query, by trec_eval's own code (pytrec_eval).

trec_eval ranks by score cast to float32, and equal scores by descending document id; the order in which a
retriever lists its documents does not enter. So does everything here: MRR@10 and Judged@10 look at the same
ten documents as nDCG@10. (beir's MRR sorts by score alone and leaves ties in the order of the run: the two
agree where the run lists its documents in trec_eval's order.)

Relevance below 0 counts as 0. A query without a ranking scores 0 in every metric.
"""

from collections.abc import Mapping, Sequence

import pytrec_eval

from mixbench.interop.trec import trec_order
from mixbench.results import METRICS

PYTREC_NAMES = {
    "ndcg_at_10": "ndcg_cut_10",
    "map_at_100": "map_cut_100",
    "recall_at_100": "recall_100",
    "precision_at_10": "P_10",
    "mrr_at_10": "recip_rank",
}
PYTREC_MEASURES = {"ndcg_cut.10", "map_cut.100", "recall.100", "P.10", "recip_rank"}


def score_queries(
    qrels: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[tuple[str, float]]]
) -> dict[str, dict[str, float]]:
    """Return metric -> query_id -> score for every query of `qrels`, ranked or not.

    Rankings of other queries are ignored. Recall@100 and MAP@100 want rankings of at least 100 documents.
    """
    judged = {query_id: {doc: max(rel, 0) for doc, rel in docs.items()} for query_id, docs in qrels.items()}
    run = {
        query_id: {doc_id: float(score) for doc_id, score in rankings[query_id]}
        for query_id in qrels
        if rankings.get(query_id)
    }
    evaluated = pytrec_eval.RelevanceEvaluator(judged, PYTREC_MEASURES).evaluate(run) if run else {}
    scores: dict[str, dict[str, float]] = {metric: {} for metric in METRICS}
    for query_id, docs in qrels.items():
        found = evaluated.get(query_id, {})
        for metric, name in PYTREC_NAMES.items():
            scores[metric][query_id] = found.get(name, 0.0)
        if scores["mrr_at_10"][query_id] < 1 / 10:
            scores["mrr_at_10"][query_id] = 0.0
        scores["judged_at_10"][query_id] = _judged_share(docs, rankings.get(query_id, ()))
    return scores


def _judged_share(judgments: Mapping[str, int], ranking: Sequence[tuple[str, float]]) -> float:
    """Share of the ten best, or of all where there are fewer, that have a judgment; 0 of nothing."""
    best = trec_order(ranking)[:10]
    return sum(doc_id in judgments for doc_id, _ in best) / len(best) if best else 0.0
