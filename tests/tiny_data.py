"""A BEIR folder of three documents, and a task that is read from it, for the tests of the data room."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixbench.tasks import Task

CORPUS = [
    {"_id": "d1", "title": "Mixers", "text": "A mixer mixes."},
    {"_id": "d2", "text": "Kein Titel: ß, 混, 😀"},
    {"_id": "d3", "title": "", "text": ""},
]
QUERIES = [
    {"_id": "q1", "text": "what mixes"},
    {"_id": "q2", "text": "nothing"},
    {"_id": "q3", "text": "unjudged"},
]
QRELS = ["query-id\tcorpus-id\tscore", "q1\td1\t2", "q1\td2\t-1", "q2\td3\t0"]


def json_lines(records: list[Any]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def make_folder(folder: Path, split: str = "test") -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(json_lines(CORPUS), encoding="utf-8")
    (folder / "queries.jsonl").write_text(json_lines(QUERIES), encoding="utf-8")
    (folder / "qrels" / f"{split}.tsv").write_text("\n".join(QRELS) + "\n", encoding="utf-8")
    return folder


def make_task(**fields: Any) -> Task:
    settings: dict[str, Any] = {"name": "zoo/tiny", "description": "Three documents.", "folder": "tiny"}
    settings |= {"eval_split": "test", "licence": "CC0-1.0", "redistribute": True}
    return Task(**(settings | fields))


def edit(file: str, line: int, text: str) -> Callable[[Path], None]:
    """Replace a 1-based line of a file."""

    def change(folder: Path) -> None:
        lines = (folder / file).read_text(encoding="utf-8").splitlines()
        lines[line - 1] = text
        (folder / file).write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))

    return change
