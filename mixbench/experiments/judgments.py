"""`mixbench data qrels`: a task's judgments in the form that other evaluation tools read."""

from pathlib import Path

from mixbench.data.load import load_data
from mixbench.interop.trec import write_qrels
from mixbench.tasks import load_task


def task_qrels(
    name: str,
    split: str | None = None,
    *,
    data_dir: Path | None = None,
    tasks_dir: Path | None = None,
    offline: bool = False,
) -> str:
    """Return the judgments of a task as TREC qrels: those of queries with a relevant document, as evaluated.

    In a task of several parts queries are called part/query_id, as in runs. Raises what `load_task` and
    `load_data` do, and InputError for an id that the form cannot hold.
    """
    data = load_data(load_task(name, tasks_dir), data_dir=data_dir, split=split, offline=offline)
    return write_qrels(
        {part.prefix + query_id: judged for part in data for query_id, judged in part.qrels.items()}
    )
