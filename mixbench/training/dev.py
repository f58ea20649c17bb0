"""Dev score: nDCG@10 of held-out queries over held-out positives and, as distractors, some training ones."""

import random
from collections.abc import Sequence
from typing import Any

from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.util import cos_sim

from mixbench.data.pairs import Pairs, normalise

METRIC = "dev_cosine_ndcg@10"
"""The evaluator's name for the dev score; the trainer prefixes `eval_`."""
DISTRACTORS = 5_000
"""At most so many, and ten for each dev pair: a short run on a CPU must not spend its time on dev scores."""


def dev_evaluator(
    dev: Sequence[Pairs], train: Sequence[Pairs], seed: int, batch_size: int = 128
) -> InformationRetrievalEvaluator:
    """Return the evaluator over the queries of `dev`.

    The pool is every dev positive and positives of `train`, see DISTRACTORS. A pool text counts as
    relevant to a query if any pair, dev or train, puts them together. Texts that agree when normalised are
    one.
    """
    queries: dict[str, Any] = {normalise(query): query for pairs in dev for query in pairs.queries}
    pool: dict[str, Any] = {normalise(positive): positive for pairs in dev for positive in pairs.positives}
    most = min(DISTRACTORS, 10 * sum(map(len, dev)))
    others = dict.fromkeys(positive for pairs in train for positive in pairs.positives)
    for positive in random.Random(seed).sample(list(others), min(most, len(others))):
        pool.setdefault(normalise(positive), positive)
    relevant: dict[str, set[str]] = {}
    for pairs in (*dev, *train):
        for query, positive in zip(pairs.queries, pairs.positives, strict=True):
            if (key := normalise(query)) in queries and (match := normalise(positive)) in pool:
                relevant.setdefault(key, set()).add(match)
    return InformationRetrievalEvaluator(
        queries,
        pool,
        relevant,
        name="dev",
        batch_size=batch_size,
        score_functions={"cosine": cos_sim},
        main_score_function="cosine",
        write_csv=False,
    )
