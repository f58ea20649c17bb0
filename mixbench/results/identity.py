"""Identities: hashes that tell models, and results, apart."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

METRICS_VERSION = 1
"""Raised whenever the same ranking would be given another score."""


def identity_of(
    *,
    task: str,
    recipe: Mapping[str, Any],
    data_sha256: str,
    depth: int,
    remove_identical: bool,
    metrics_version: int = METRICS_VERSION,
) -> str:
    """Return the SHA-256 of all that decides a result's scores; it is known before anything runs.

    A trained model's weights enter by the `model_sha256` in its recipe.
    """
    return sha256_text(
        canonical_json(
            {
                "task": task,
                "recipe": recipe,
                "data_sha256": data_sha256,
                "depth": depth,
                "remove_identical": remove_identical,
                "metrics_version": metrics_version,
            }
        )
    )


def revision_of(recipe: Mapping[str, Any]) -> str:
    """Return the name of a model's folder: the first 12 digits of the SHA-256 of its recipe."""
    return sha256_text(canonical_json(recipe))[:12]


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, as hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
