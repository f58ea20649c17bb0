"""All targets by name; each is imported on use, since some load libraries of models."""

from importlib import import_module

from .target import Target

PLACES = {
    "targets_data": (
        "beir", "beir-packed", "trec", "task", "pairs", "parquet", "texts", "raw", "archive",
    ),
    "targets_results": ("result", "query-scores", "mteb-result", "recipes", "evidence"),
    "targets_models": (
        "mixer", "static", "transformer", "cross-encoder", "vocabulary", "checkpoint", "teacher-store",
        "token-rows",
    ),
}  # fmt: skip
TARGETS = {name: module for module, names in PLACES.items() for name in names}
"""Target -> the module of it."""


def make(name: str) -> Target:
    """Return the target called `name`."""
    module = import_module(f".{TARGETS[name]}", __package__)
    made: Target = getattr(module, name.replace("-", "_"))()
    return made
