"""Evaluation: a retriever and a task in, a result and what proves it out."""

from mixbench.evaluation.evaluate import (
    DEPTH,
    Evaluation,
    evaluate,
    existing_result,
    rounded_scores,
    save_evaluation,
)
from mixbench.evaluation.metrics import score_queries

__all__ = [
    "DEPTH",
    "Evaluation",
    "evaluate",
    "existing_result",
    "rounded_scores",
    "save_evaluation",
    "score_queries",
]
