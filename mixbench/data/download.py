"""`mixbench data get`: a task's data fetched into a folder, whole or not at all.

BEIR's zips are fetched from their address, raw files from theirs and built (`builders.py`). Other tasks come
from the hub through mteb, or from ir_datasets where mteb has none. All become BEIR folders.
"""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mixbench.data.beir import find_splits, read_beir_splits, write_beir_folder
from mixbench.data.builders import build
from mixbench.data.hub import judged_splits, why_no_hub
from mixbench.data.load import cache_dir, hub_names, load_hub, load_irds
from mixbench.data.zips import Progress, failed, fetch_file, fetch_zip
from mixbench.errors import InputError, MissingData, MixbenchError

if TYPE_CHECKING:
    from mixbench.tasks import Task


def get_data(
    task: "Task",
    *,
    destination: Path | None = None,
    url: str | None = None,
    timeout: float = 30.0,
    progress: Progress | None = None,
) -> Path:
    """Fetch a task's data and return its BEIR folder, called `task.folder`, in `destination` (the cache).

    A folder that is there already is returned as it is. What was fetched is read through before it gets its
    name. `url` replaces the task's own, and `timeout` is how many seconds may pass without a byte. Raises
    InputError for a task that has nothing to fetch and for data that cannot be used, MissingData without a
    hub, and MixbenchError for a download that fails; nothing is left behind.
    """
    source = url or task.url
    if not task.folder or not (source or task.raw or hub_names(task) or task.ir_datasets):
        where = "it is in the package" if task.embedded else "it has no url and no name in mteb"
        if not task.reproducible:
            where = f"nobody can make it again from {task.origin}; put its BEIR folder in --data-dir"
        raise InputError(f"nothing to download for {task.name!r}: {where}")
    destination = destination or cache_dir()
    folder = destination / task.folder
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".get-") as temporary:
            if source:
                fetched = _fetch_zip(task, source, Path(temporary, "unpacked"), timeout, progress)
            elif task.builder:
                source, fetched = task.origin or "its raw files", Path(temporary, "data")
                _build(task, Path(temporary, "raw"), fetched, timeout, progress)
            elif not hub_names(task):
                source, fetched = "ir_datasets", Path(temporary, "data")
                write_beir_folder([load_irds(task, task.eval_split)], fetched)
            else:
                fetched = _fetch_from_hub(task, Path(temporary, "data"))
            _read_through(task, fetched, source or "the hub")
            fetched.rename(folder)
    except OSError as error:
        raise MixbenchError(
            f"{folder}: cannot be written: {error.strerror or error}; make room for it"
        ) from error
    return folder


def _fetch_from_hub(task: "Task", folder: Path) -> Path:
    problem = why_no_hub(hub_names(task).values())
    if problem:
        raise MissingData(
            f"no data for {task.name!r} from the hub ({problem}); put a BEIR folder in --data-dir"
        )
    for part, name in hub_names(task).items():
        others = [split for split in (task.dev_split, task.train_split) if split and split != task.eval_split]
        judged = judged_splits(name) if others else []
        splits = [task.eval_split, *(split for split in dict.fromkeys(others) if split in judged)]
        write_beir_folder([load_hub(task, split, part) for split in splits], folder / part)
    return folder


def _fetch_zip(task: "Task", url: str, unpacked: Path, timeout: float, progress: Progress | None) -> Path:
    fetch_zip(url, unpacked, timeout, progress)
    for corpus in sorted(unpacked.rglob("corpus.jsonl*"), key=lambda path: (len(path.parts), path)):
        folder = corpus.parent.parent if task.parts else corpus.parent
        if all((folder / part).is_dir() for part in task.parts):
            return folder
    wanted = f"the folders {', '.join(task.parts)}" if task.parts else "corpus.jsonl"
    raise failed(url, f"the zip has not got {wanted}", "give the address of a BEIR zip with --url")


def _build(task: "Task", raw: Path, folder: Path, timeout: float, progress: Progress | None) -> None:
    raw.mkdir()
    for name, url in task.raw.items():
        fetch_file(url, raw / name, timeout, progress)
    write_beir_folder([build(task.builder or "", raw)], folder)


def _read_through(task: "Task", folder: Path, source: str) -> None:
    for part in task.parts or [""]:
        wanted = dict.fromkeys([task.eval_split, task.dev_split, task.train_split])
        there = find_splits(folder / part)
        splits = [split for split in wanted if split and (split in there or split == task.eval_split)]
        try:
            read_beir_splits(folder / part, splits, part)
        except InputError as error:
            problem = str(error).removeprefix(f"{folder}{os.sep}")
            raise InputError(f"{source}: what was fetched cannot be used: {problem}") from error
