"""Results to mteb's form and from it, and data to BEIR folders.

Results of others are shown beside ours and never stored: a board holds what `mixbench eval` measured.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from mixbench.data.beir import write_beir_folder
from mixbench.data.load import load_data
from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.evaluating import Places, chosen_tasks
from mixbench.interop.mteb.results import (
    ModelScores,
    TaskScores,
    mteb_name,
    read_task_scores,
    splits_of,
    write_tree,
)
from mixbench.results import METRICS, Result, find_results
from mixbench.tasks import Task, find_tasks


def export_results(
    folder: Path,
    output: Path,
    tasks_dir: Path | None,
    *,
    own_tasks: bool = False,
    say: Callable[[str], None],
) -> list[Path]:
    """Write the stored results below `output` as mteb's results repository has them; return the files.

    What mteb cannot hold is left out, and `say` is told why. `own_tasks` takes tasks that mteb has not under
    their short names: mteb's readers open them, its public repository does not want them.

    Raises:
        MixbenchError: nothing is left to write.
    """
    tasks = find_tasks(tasks_dir)
    models: dict[tuple[str, str], ModelScores] = {}
    for result in find_results(_folder(output)):
        problem = _why_not(result, tasks.get(result.task), own_tasks)
        if problem:
            say(f"left out {result.place}: {problem}")
            continue
        task = tasks[result.task]
        model = models.setdefault(
            (result.model, result.revision),
            ModelScores(
                name=result.model,
                revision=result.revision,
                parameters=result.costs.parameters,
                training_sources=result.training_sources,
            ),
        )
        model.tasks.append(_task_scores(result, task))
    if not models:
        raise MixbenchError(
            f"{output}: no result of a task that mteb has; nothing was written (--own-tasks takes the others)"
        )
    return write_tree(folder, models.values())


def compare_with_mteb(paths: Sequence[Path], output: Path, tasks_dir: Path | None) -> list[dict[str, Any]]:
    """Return the main metrics of mteb's result files, each beside ours of the same model, task and split.

    `paths` are files, or folders of such files. Raises InputError for a file that is no result of mteb.
    """
    names = {task.mteb or task.short_name: task.name for task in find_tasks(tasks_dir).values()}
    ours = {(mteb_name(each.model), each.task, each.split): each for each in _stored(output)}
    rows = []
    for path in _result_files(paths):
        model = path.parent.parent.name.replace("__", "/", 1)
        for scored in read_task_scores(path):
            mine = ours.get((model, names.get(scored.task, ""), scored.split))
            for metric in METRICS:
                if metric not in scored.scores:
                    continue
                theirs = scored.scores[metric]
                own = None if mine is None else mine.scores.of(metric)
                rows.append(
                    {
                        "task": scored.task,
                        "split": scored.split,
                        "model": model,
                        "metric": METRICS[metric],
                        "theirs": theirs,
                        "ours": own,
                        "difference": None if own is None else own - theirs,
                    }
                )
    return rows


def export_data(
    name: str,
    folder: Path,
    places: Places,
    *,
    splits: Sequence[str],
    overwrite: bool,
    say: Callable[[str], None],
) -> Path:
    """Write a task's data as a BEIR folder, one below for each part, and return `folder`.

    `splits` are written, the evaluation split where none is named. Raises InputError for several tasks, and
    for a folder that exists: `overwrite` replaces one, if it is a BEIR folder.
    """
    tasks = chosen_tasks([name], places.tasks_dir)
    if len(tasks) > 1:
        raise InputError(f"{name!r} is {len(tasks)} tasks, as {tasks[0].name!r}; export one")
    (task,) = tasks
    if folder.exists() and not overwrite:
        raise InputError(f"{folder}: exists already; choose another folder, or replace it with --overwrite")
    if folder.exists() and not any(folder.glob("**/corpus.jsonl*")):
        raise InputError(f"{folder}: is no BEIR folder, so it is not replaced; choose another")
    wanted = list(splits) or [task.eval_split]
    loaded = [
        load_data(task, data_dir=places.data_dir, split=split, offline=places.offline) for split in wanted
    ]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as temporary:
        made = Path(temporary, "data")
        for collections in zip(*loaded, strict=True):
            write_beir_folder(list(collections), made / collections[0].part)
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    say(f"{task.name}: licence {task.licence}")
    return folder


def _why_not(result: Result, task: Task | None, own_tasks: bool) -> str:
    """Return why mteb's form cannot hold a result, nothing where it can."""
    if task is None or not (task.mteb or own_tasks):
        return "mteb has no such task"
    if task.parts:
        return "it is a mean over several tasks"
    if result.data_matches_task is False:
        return "its data is not what the task records"
    if not task.mteb:
        return ""
    split = task.hub_split or result.split
    if split not in splits_of(task.mteb):
        return f"mteb does not evaluate the split {split!r}"
    return ""


def _task_scores(result: Result, task: Task) -> TaskScores:
    metrics = [metric for metric in METRICS if metric != "judged_at_10"]
    scores = {metric: result.scores.of(metric) for metric in metrics}
    return TaskScores(
        task=task.mteb or task.short_name,
        own=not task.mteb,
        dataset_revision="" if task.mteb else result.data_sha256,
        split=task.hub_split or result.split,
        scores={**scores, "main_score": result.main_score},
        seconds=None
        if result.costs.index_seconds is None
        else result.costs.index_seconds + result.costs.search_seconds,
        date=result.provenance.date,
    )


def _stored(output: Path) -> list[Result]:
    return find_results(output) if output.is_dir() else []


def _folder(output: Path) -> Path:
    if not output.is_dir():
        raise InputError.at(output, None, "no such folder; --output names the one that eval wrote to")
    return output


def _result_files(paths: Iterable[Path]) -> list[Path]:
    files = []
    for path in paths:
        if path.is_dir():
            files += sorted(each for each in path.rglob("*.json") if each.name != "model_meta.json")
        elif path.is_file():
            files.append(path)
        else:
            raise InputError.at(
                path, None, "no such file or folder; give result files of mteb, or their folder"
            )
    if not files:
        raise InputError(f"no result file of mteb in {', '.join(map(str, paths))}")
    return files
