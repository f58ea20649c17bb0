"""Result: what was measured, on what and how."""

import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from mixbench.errors import InputError
from mixbench.results.identity import METRICS_VERSION, identity_of
from mixbench.tasks import Task

SCHEMA_VERSION = 1
SAFE_NAME = re.compile(r"[A-Za-z0-9][\w.+@=-]*(/[A-Za-z0-9][\w.+@=-]*)*", re.ASCII)
METRICS = {
    "ndcg_at_10": "nDCG@10",
    "mrr_at_10": "MRR@10",
    "map_at_100": "MAP@100",
    "recall_at_100": "Recall@100",
    "precision_at_10": "P@10",
    "judged_at_10": "Judged@10",
}
"""Each metric's name in files, and as people write it."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scores(_Frozen):
    """Means over queries, each between 0 and 1; a query without a ranking counts as 0."""

    ndcg_at_10: float
    mrr_at_10: float
    map_at_100: float
    recall_at_100: float
    precision_at_10: float
    judged_at_10: float
    """Share of the ten best that have a judgment, relevant or not."""

    def of(self, metric: str) -> float:
        """Return one score by its name in METRICS."""
        return float(getattr(self, metric))


class Costs(_Frozen):
    """What it took, summed over the parts of a task.

    What encoding documents took is null where embeddings of some were read from a store.
    """

    index_seconds: float | None
    search_seconds: float
    documents_per_second: float | None
    queries_per_second: float
    peak_memory_bytes: int | None
    """Most main memory that the process held during the task, mixbench and data included."""
    peak_device_bytes: int | None
    """Most accelerator memory that tensors held, null on a CPU."""
    index_bytes: int
    parameters: int
    flops_per_document: int | None = None
    """Operations to encode one document, a multiplication and an addition being two; null where unknown."""
    query_seconds_p50: float | None = None
    """Half of the queries that were searched alone took at most this; null where too few were."""
    query_seconds_p95: float | None = None
    """And 95 % of them at most this."""
    documents_from_store: int = 0
    """Documents whose embeddings were read, not computed, summed over the encoders of a fusion."""
    halved_batch: int | None = None
    """Texts of the smallest batch where batches were halved for lack of memory, else null."""


class Provenance(_Frozen):
    """Who could repeat this, with what."""

    command: str
    mixbench: str
    python: str
    packages: dict[str, str]
    commit: str | None
    """Commit of the checkout that mixbench ran from, null outside one."""
    dirty: bool
    """Whether that checkout differed from its commit, or had none."""
    source_sha256: str
    """Over mixbench's own files: code and embedded data."""
    device: str
    machine: str
    """The processor or accelerator, in its maker's words."""
    threads: int
    seed: int
    workers: int = 0
    """Other processes that encoded documents of it, each on a device of the same kind."""
    date: str
    """Day in UTC, as 2026-01-31."""


class Result(_Frozen):
    """One retriever on one task."""

    schema_version: int = SCHEMA_VERSION
    identity: str
    task: str
    split: str
    main_metric: str
    known_item: bool
    model: str
    revision: str
    model_sha256: str | None
    recipe: dict[str, JsonValue]
    training_sources: tuple[str, ...] | None
    """What the model was trained on, its teacher's sources included; null where nobody says."""
    training_command: str | None = None
    """What made the model, where its own record says so."""
    architecture: str | None = None
    """What the model is by its own files, as "masked mixer"; null where nobody says."""
    control_of: str | None = None
    """The architecture whose worth this model, which lacks a part of it, is there to show; null for most."""
    in_domain: tuple[str, ...]
    """Those training sources that make the task no test of transfer."""
    scores: Scores
    parts: dict[str, Scores]
    """Scores by part, where the task's are the mean over its parts; else empty."""
    n_documents: int
    n_queries: int
    empty_rankings: int
    truncated_share: float | None
    """Share of the texts that the model saw cut, null where it does not say."""
    depth: int
    remove_identical: bool
    metrics_version: int = METRICS_VERSION
    data_source: str
    data_sha256: str
    data_matches_task: bool | None
    """Whether the data has the hash that the task file records, null where it records none."""
    queries_sha256: str
    """Over the text of the query scores beside this file."""
    costs: Costs
    provenance: Provenance

    @property
    def main_score(self) -> float:
        """The score by which the task ranks."""
        return self.scores.of(self.main_metric)

    @property
    def place(self) -> Path:
        """Path of the result's file below the output folder."""
        return result_place(self.task, self.model, self.revision)

    @property
    def from_stored_run(self) -> bool:
        """Whether rankings of a stored run are in it: the costs then leave out what it took to make those."""
        return holds_stored_run(self.recipe)

    def recomputed_identity(self) -> str:
        """Return the identity that the other fields imply."""
        return identity_of(
            task=self.task,
            recipe=self.recipe,
            data_sha256=self.data_sha256,
            depth=self.depth,
            remove_identical=self.remove_identical,
            metrics_version=self.metrics_version,
        )


def holds_stored_run(recipe: JsonValue) -> bool:
    """Tell whether rankings of a stored run are in what a recipe makes, at any depth."""
    if not isinstance(recipe, dict):
        return False
    members = recipe.get("retrievers")
    inner = [*(members if isinstance(members, list) else []), recipe.get("first")]
    return recipe.get("kind") == "run" or any(map(holds_stored_run, inner))


def in_domain_sources(task: Task, training_sources: Iterable[str]) -> tuple[str, ...]:
    """Return, sorted, the `training_sources` that the task counts as its own: its names and `in_domain`."""
    own = {task.name, task.short_name, task.mteb or task.name, *task.parts.values(), *task.in_domain}
    return tuple(sorted(own.intersection(training_sources)))


def folder_name(model: str) -> str:
    """Return a model's name as one path component: "org/name" is "org__name".

    Raises InputError for a name that could lead out of the output folder or be hidden in it.
    """
    if not SAFE_NAME.fullmatch(model) or ".." in model:
        raise InputError(
            f"model name {model!r} cannot name a folder; use letters, digits and _.+@=- in parts divided by /"
        )
    return model.replace("/", "__")


def result_place(task: str, model: str, revision: str) -> Path:
    """Return where a result belongs below the output folder."""
    benchmark, short_name = task.split("/")
    return Path(benchmark, folder_name(model), revision, f"{short_name}.json")
