"""`mixbench list`: the tasks, models and results that there are, as rows of plain values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixbench.data.load import locate
from mixbench.errors import InputError, MissingData
from mixbench.experiments.evaluating import Places
from mixbench.experiments.systems import names_table
from mixbench.models import MIXERS, OPPONENTS, STATIC, VARIANTS
from mixbench.results import METRICS, find_results
from mixbench.tasks import find_tasks

Rows = list[dict[str, Any]]


def list_tasks(places: Places) -> Rows:
    """Return each task, and where its data is; the hub is never asked."""
    rows = []
    for task in find_tasks(places.tasks_dir).values():
        try:
            location = locate(task, data_dir=places.data_dir, offline=True)
            where = location.kind if location.kind != "folder" else location.place
        except MissingData:
            where = ""
        rows.append(
            {
                "task": task.name,
                "split": task.eval_split,
                "metric": METRICS.get(task.main_metric, task.main_metric),
                "licence": task.licence,
                "known_item": task.known_item,
                "data": where,
                "description": task.description,
            }
        )
    return rows


def list_models() -> Rows:
    """Return what `-m` takes, and the shape of each preset."""
    rows: Rows = [{"model": name, "what": text} for name, text in names_table()]
    kinds: dict[str, Mapping[str, Mapping[str, Any]]] = {
        "masked mixer": MIXERS | VARIANTS,
        "mean of token embeddings": STATIC,
        "transformer": OPPONENTS,
    }
    for kind, presets in kinds.items():
        for name, shape in presets.items():
            sizes = ", ".join(f"{key} {value}" for key, value in shape.items())
            rows.append({"model": name, "what": f"{kind}, {sizes}; untrained"})
    return rows


def list_results(output: Path) -> Rows:
    """Return each result below `output`. Raises InputError where there is no such folder."""
    if not output.is_dir():
        raise InputError.at(output, None, "no such folder; --output names the one that eval wrote to")
    return [
        {
            "task": result.task,
            "model": result.model,
            "revision": result.revision,
            "metric": METRICS[result.main_metric],
            "score": result.main_score,
            "in_domain": bool(result.in_domain),
            "dirty": result.provenance.dirty,
            "date": result.provenance.date,
        }
        for result in find_results(output)
    ]
