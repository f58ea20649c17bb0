"""Where a task's data comes from. The first place that has it, in this order:

    1. the BEIR folder `task.folder` in the data folder given (`--data-dir`)
    2. the same in $MIXBENCH_DATA
    3. the same in ~/.cache/mixbench/data, which `mixbench data get` fills
    4. the package itself, for a task with embedded data
    5. the hub, through mteb, unless offline
    6. ir_datasets, for a task that mteb has not, unless offline: it keeps what it downloads, but does not say
       beforehand whether it will

A folder that is there is used or complained about, never passed over for a place further down.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mixbench.data.beir import read_beir_folder
from mixbench.data.frozen import frozen_file, read_frozen
from mixbench.data.hub import read_hub, shown_endpoint, why_no_hub
from mixbench.data.retrieval_data import Document, RetrievalData
from mixbench.errors import InputError, MissingData
from mixbench.interop.irds import EXTRA, has_ir_datasets, load_retrieval

if TYPE_CHECKING:
    from mixbench.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where a task's data is."""

    kind: Literal["folder", "embedded", "hub", "ir_datasets"]
    place: str
    """The folder, the file in the package, the address of the hub with mteb's name of the task, or the id."""


def cache_dir() -> Path:
    """Return the folder that downloaded data is kept in: ~/.cache/mixbench/data."""
    return Path.home() / ".cache" / "mixbench" / "data"


def data_dirs(data_dir: Path | None = None) -> list[Path]:
    """Return the folders in which BEIR folders are looked for, first choice first.

    Raises InputError where `data_dir` is given and is no folder.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise InputError.at(data_dir, None, "no such folder; --data-dir names a folder of BEIR folders")
    named = os.environ.get("MIXBENCH_DATA")
    return [*([data_dir] if data_dir else []), *([Path(named).expanduser()] if named else []), cache_dir()]


def locate(task: "Task", *, data_dir: Path | None = None, offline: bool = False) -> Location:
    """Return where `load_data` would read `task` from, without reading it.

    Raises MissingData, which says where was looked and how to get the data, and InputError as `data_dirs`.
    """
    looked: list[str] = []
    for folder in data_dirs(data_dir):
        if task.folder:
            if (folder / task.folder).is_dir():
                return _whole_folder(task, folder / task.folder)
            looked.append(str(folder / task.folder))
    if task.embedded:
        file = frozen_file(task.embedded)
        if file.is_file():
            return Location(kind="embedded", place=str(file))
        looked.append(str(file))
    names = hub_names(task)
    if names:
        problem = why_no_hub(names.values(), offline=offline)
        if not problem:
            return Location(kind="hub", place=f"{shown_endpoint()} ({', '.join(names.values())})")
        looked.append(f"the hub ({problem})")
    elif task.ir_datasets:
        problem = "offline" if offline else "" if has_ir_datasets() else f"not installed: {EXTRA}"
        if not problem:
            return Location(kind="ir_datasets", place=task.ir_datasets)
        looked.append(f"ir_datasets ({problem})")
    raise MissingData(f"no data for {task.name!r}; looked in: {', '.join(looked)}; {_how_to_get(task)}")


def load_data(
    task: "Task",
    *,
    data_dir: Path | None = None,
    split: str | None = None,
    offline: bool = False,
    on_disk: bool = False,
) -> list[RetrievalData]:
    """Read one split of a task (the evaluation split by default): one collection, or one for each part.

    `on_disk` leaves the texts of a BEIR folder's documents on disk, and reads each when it is asked for.
    Raises MissingData as `locate` does, and InputError for data that cannot be used. Data whose
    `task_sha256` differs from `task.sha256` is returned all the same: the caller shows it.
    """
    location = locate(task, data_dir=data_dir, offline=offline)
    split = split or task.eval_split
    if location.kind == "embedded":
        return [read_frozen(task.embedded or "", split)]
    if location.kind == "ir_datasets":
        return [load_irds(task, split)]
    if location.kind == "hub":
        return [load_hub(task, split, part) for part in hub_names(task)]
    folder = Path(location.place)
    return [read_beir_folder(folder / part, split, part, on_disk=on_disk) for part in task.parts or [""]]


def hub_names(task: "Task") -> dict[str, str]:
    """Return part -> mteb's name of each collection of a task ("" -> its name where it has no parts)."""
    return task.parts or ({"": task.mteb} if task.mteb else {})


def load_hub(task: "Task", split: str, part: str) -> RetrievalData:
    """Read one split of one part ("" for the whole) of a task. Raises MissingData where the hub fails."""
    hub_split = task.hub_split if task.hub_split and split == task.eval_split else split
    return read_hub(hub_names(task)[part], hub_split, split=split, part=part)


def load_irds(task: "Task", split: str) -> RetrievalData:
    """Read one split of a task from ir_datasets: its own id for the evaluation split, else the one beside it.

    Raises MissingData where it does not give it.
    """
    dataset_id = task.ir_datasets or ""
    if split != task.eval_split:
        stem, _, last = dataset_id.rpartition("/")
        if last != task.eval_split:
            raise MissingData(
                f"{task.name!r} has no split {split!r} in ir_datasets, where it is {dataset_id!r}"
            )
        dataset_id = f"{stem}/{split}"
    corpus, queries, qrels = load_retrieval(dataset_id)
    documents = [Document(*fields) for fields in corpus]
    return RetrievalData(corpus=documents, queries=queries, qrels=qrels, split=split, source="ir_datasets")


def task_sha256(data: Sequence[RetrievalData]) -> str:
    """Return the SHA-256 of a task's data: that of its one collection, or one over its parts."""
    if len(data) == 1 and not data[0].part:
        return data[0].sha256
    lines = sorted(f"{each.part}\0{each.sha256}\n" for each in data)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _whole_folder(task: "Task", folder: Path) -> Location:
    missing = [part for part in task.parts if not (folder / part).is_dir()]
    if missing:
        raise MissingData(
            f"no complete data for {task.name!r}: {folder} lacks {', '.join(missing)}; {_how_to_get(task)}"
        )
    return Location(kind="folder", place=str(folder))


def _how_to_get(task: "Task") -> str:
    ways = []
    if task.url or task.raw or hub_names(task) or task.ir_datasets:
        ways.append(f"`mixbench data get {task.name}`")
    if task.folder:
        ways.append(f"a BEIR folder called {task.folder!r} in --data-dir")
    return f"get it by {' or '.join(ways)}" if ways else "reinstall mixbench, which carries it"
