"""Results in mteb's form, as plain structures: the tree of its public results repository, and single files.

FOLDER/results/<org>__<model>/<revision>/<Task>.json, model_meta.json and run_settings.jsonl
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mteb
from mteb.cache import ResultCache
from mteb.models import ModelMeta
from mteb.models.model_implementations import MODEL_REGISTRY
from mteb.results import TaskResult

from mixbench.errors import InputError

ORGANISATION = "mixbench"
"""Stands before the names of models that have no organisation of their own: mteb wants one."""


@dataclass(frozen=True, kw_only=True)
class TaskScores:
    """One model's scores on one split of one task; `task` is mteb's name, or "NAME:SUBSET".

    `scores` are by mteb's names of metrics, `main_score` among them. `own` marks a task that mteb has not.
    """

    task: str
    split: str
    scores: Mapping[str, float]
    seconds: float | None = None
    date: str = ""
    """As 2026-01-31, empty where nobody says."""
    dataset_revision: str = ""
    own: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """A model as mteb describes one, and its scores. `training_sources` is None where nobody says."""

    name: str
    revision: str
    parameters: int
    training_sources: Iterable[str] | None
    tasks: list[TaskScores] = field(default_factory=list)


def mteb_name(model: str) -> str:
    """Return a model's name as mteb wants it: "org/name", the organisation ours where there is none."""
    return model if model.count("/") == 1 else f"{ORGANISATION}/{model.replace('/', '__')}"


def write_tree(folder: Path, models: Iterable[ModelScores]) -> list[Path]:
    """Write results into `folder` as mteb's own cache lays them out, and return their paths."""
    cache = ResultCache(cache_path=folder)
    written = []
    for model in models:
        sources = model.training_sources
        meta = ModelMeta.create_empty(
            overwrites={
                "name": mteb_name(model.name),
                "revision": model.revision,
                "n_parameters": model.parameters,
                "training_datasets": None if sources is None else set(sources),
                "languages": None,
                "framework": [],
            }
        )
        for scored in model.tasks:
            result = _task_result(scored)
            cache.save_to_cache(result, meta)
            written.append(cache.get_task_result_path(task_name=result.task_name, model_name=meta))
    return written


def register_models(folder: Path) -> list[str]:
    """Make mteb know the models of a tree, so that its benchmark tables show them; return their names.

    A model that mteb knows by itself stays as it is. Call it before mteb's first table of a process: mteb
    reads its registry once. Raises InputError where the tree has no model, or one that cannot be read.
    """
    names = []
    for path in sorted(folder.glob("results/*/*/model_meta.json")):
        try:
            meta = ModelMeta.model_validate_json_resolved(path.read_text(encoding="utf-8"))
        except Exception as error:  # mteb mends old ones before it checks them
            raise InputError.at(path, None, f"no description of a model ({type(error).__name__})") from error
        name = str(meta.name)
        if name not in MODEL_REGISTRY:
            MODEL_REGISTRY[name] = meta
        names.append(name)
    if not names:
        raise InputError(f"{folder}: no results/*/*/model_meta.json; name a tree of results export")
    return list(dict.fromkeys(names))


def splits_of(task: str) -> list[str]:
    """Return the splits that mteb evaluates of a task, "NAME" or "NAME:SUBSET"."""
    return list(mteb.get_task(task.partition(":")[0]).metadata.eval_splits)


def read_task_scores(path: Path) -> list[TaskScores]:
    """Return what a result file of mteb holds: one entry for each split and subset, any age of the format.

    Raises InputError for a file that is no result of mteb.
    """
    try:
        result = TaskResult.from_disk(path)
    except Exception as error:  # of many ages and shapes, each read in its own way
        reason = " ".join(str(error).split())[:200]
        raise InputError.at(path, None, f"no result of mteb ({type(error).__name__}: {reason})") from error
    found = []
    for split, subsets in result.scores.items():
        for each in subsets:
            subset = str(each.get("hf_subset", "default"))
            numbers = {key: float(value) for key, value in each.items() if isinstance(value, int | float)}
            found.append(
                TaskScores(
                    task=result.task_name if subset == "default" else f"{result.task_name}:{subset}",
                    split=split,
                    scores=numbers,
                    seconds=result.evaluation_time,
                    date=result.date.date().isoformat() if result.date else "",
                    dataset_revision=result.dataset_revision,
                )
            )
    return found


def _task_result(scored: TaskScores) -> TaskResult:
    name, _, subset = scored.task.partition(":")
    scores: dict[str, Any] = dict(scored.scores)
    if scored.own:
        return TaskResult(
            dataset_revision=scored.dataset_revision,
            task_name=name,
            mteb_version=version("mteb"),
            scores={scored.split: [{**scores, "hf_subset": "default", "languages": []}]},
            evaluation_time=scored.seconds,
        )
    result: TaskResult = TaskResult.from_task_results(
        mteb.get_task(name),
        {scored.split: {subset or "default": scores}},
        evaluation_time=scored.seconds or 0.0,
        date=datetime.fromisoformat(scored.date).replace(tzinfo=UTC) if scored.date else None,
    )
    return result
