"""Results with given query scores, stored as `eval` stores them: boards of any size without a retriever."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from word_overlap import WordOverlap, make_data, make_task

from mixbench.evaluation import evaluate
from mixbench.results import (
    METRICS,
    Result,
    encode_query_scores,
    mean_scores,
    revision_of,
    save_result,
    sha256_text,
)


def make_result(output: Path, task: str, model: str, scores: Mapping[str, float], **fields: Any) -> Result:
    """Store a result whose every metric has the given score of each query; `fields` as in Result.

    The revision follows from the recipe, which names the model unless `fields` has another.
    """
    base = _base(task)
    provenance = {"dirty": False, "machine": "A processor", "command": f"mixbench eval -m {model}"}
    recipe = {"model_sha256": model, **fields.pop("recipe", {})}
    query_scores = {metric: dict(scores) for metric in METRICS}
    result = base.model_copy(
        update={
            "model": model,
            "recipe": recipe,
            "revision": revision_of(recipe),
            "model_sha256": recipe["model_sha256"],
            "scores": mean_scores(query_scores)[0],
            "n_queries": len(scores),
            "queries_sha256": sha256_text(encode_query_scores(query_scores)),
            "provenance": base.provenance.model_copy(update=provenance),
            **fields,
        }
    )
    result = result.model_copy(update={"identity": result.recomputed_identity()})
    save_result(output, result, query_scores, None)
    return result


@cache
def _base(task: str) -> Result:
    return evaluate(WordOverlap(), make_task(task), [make_data()], command="").result


def numbered(scores: Any) -> dict[str, float]:
    """Name scores by queries q0, q1, ..."""
    return {f"q{number}": float(score) for number, score in enumerate(scores)}
