"""`mixbench data check`: what is in a BEIR folder, and the SHA-256 of a task's data written into its file."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixbench.data.beir import find_splits, read_beir_splits
from mixbench.data.load import task_sha256
from mixbench.data.retrieval_data import RetrievalData
from mixbench.errors import InputError
from mixbench.files import write_atomic
from mixbench.tasks import Task, tasks_folder

TABLE = re.compile(r"\s*\[\[?[\w.\"'-]+\]\]?\s*(#.*)?")
RECORDED = re.compile(r"sha256\s*=")


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """One split of a checked folder."""

    split: str
    queries: int
    """Queries with a relevant document: those that count."""
    judgments: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class FolderReport:
    """A BEIR folder that can be used."""

    folder: Path
    documents: int
    empty_documents: int
    duplicate_documents: int
    """Documents whose title and text another document before them has too."""
    splits: tuple[SplitReport, ...]


def check_folder(folder: Path) -> FolderReport:
    """Read every split of a BEIR folder and say what is in it. Raises InputError for the first problem."""
    splits = find_splits(folder)
    data = read_beir_splits(folder, splits or ["test"])
    contents = [document.content for document in data[0].corpus]
    return FolderReport(
        folder=folder,
        documents=len(contents),
        empty_documents=contents.count(""),
        duplicate_documents=len(contents) - len(set(contents)),
        splits=tuple(_report(each) for each in data),
    )


def record_sha256(task: Task, data: Sequence[RetrievalData], tasks_dir: Path | None = None) -> Path:
    """Write the SHA-256 of `data` into the file of `task`, and return that file; no other line changes.

    Raises InputError for data of another split or of other parts than the task's, and for a task without a
    file.
    """
    wanted = [(task.eval_split, part) for part in task.parts or [""]]
    given = [(each.split, each.part) for each in data]
    if sorted(given) != sorted(wanted):
        raise InputError(
            f"not recorded for {task.name!r}: the data is of {given!r:.80}, not of {wanted!r:.80}"
        )
    path = tasks_folder(tasks_dir) / f"{task.name}.toml"
    if not path.is_file():
        raise InputError.at(path, None, f"no such file, so the SHA-256 of {task.name!r} cannot be recorded")
    before = path.read_text(encoding="utf-8")
    after = _with_sha256(before, task_sha256(data))
    expected = {**tomllib.loads(before), "sha256": task_sha256(data)}
    if tomllib.loads(after) != expected:
        raise InputError.at(path, None, 'cannot be edited; write a line sha256 = "" above its first table')
    write_atomic(path, after)
    return path


def _report(data: RetrievalData) -> SplitReport:
    judgments = sum(len(judged) for judged in data.qrels.values())
    return SplitReport(split=data.split, queries=len(data.queries), judgments=judgments, sha256=data.sha256)


def _with_sha256(text: str, sha256: str) -> str:
    """Put the line in the place of the old one, or below the last key above the first table."""
    lines = text.splitlines()
    tables = (place for place, line in enumerate(lines) if TABLE.fullmatch(line))
    end = next(tables, len(lines))
    old = [place for place, line in enumerate(lines[:end]) if RECORDED.match(line)]
    while end and not lines[end - 1].strip():
        end -= 1
    start, stop = (old[0], old[0] + 1) if old else (end, end)
    lines[start:stop] = [f'sha256 = "{sha256}"']
    return "\n".join(lines) + "\n"
