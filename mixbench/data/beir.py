"""BEIR folders, read and written (`corpus.jsonl` and `queries.jsonl` may also end in .gz).

    corpus.jsonl      {"_id": "d1", "title": "may be absent", "text": "..."}      one object a line
    queries.jsonl     {"_id": "q1", "text": "..."}
    qrels/test.tsv    query-id<TAB>corpus-id<TAB>score                            this header, then judgments
    qrels/test.trec   query_id 0 doc_id relevance                                 or TREC's form instead

Whatever could change a score in silence is refused, by file and line (see records.py and qrels.py).
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from mixbench.data.qrels import read_qrels, write_qrels
from mixbench.data.records import read_documents, read_queries
from mixbench.data.retrieval_data import RetrievalData
from mixbench.errors import InputError

QRELS_FORMS = (".tsv", ".trec")


def read_beir_folder(folder: Path, split: str, part: str = "", *, on_disk: bool = False) -> RetrievalData:
    """Return one split of a BEIR folder: the whole corpus, and the queries that have a relevant document.

    `on_disk` leaves the texts of documents on disk, and reads each when it is asked for.
    Raises InputError naming the file and line of the first thing that cannot be used.
    """
    return read_beir_splits(folder, [split], part, on_disk=on_disk)[0]


def read_beir_splits(
    folder: Path, splits: Sequence[str], part: str = "", *, on_disk: bool = False
) -> list[RetrievalData]:
    """Return several splits of a BEIR folder, which share one corpus, in memory or on disk."""
    corpus_path, queries_path = find_file(folder, "corpus.jsonl"), find_file(folder, "queries.jsonl")
    qrels_paths = [_find_qrels(folder, split) for split in splits]
    corpus, queries = read_documents(corpus_path, on_disk=on_disk), read_queries(queries_path)
    doc_ids = {document.doc_id for document in corpus}
    found = []
    for split, path in zip(splits, qrels_paths, strict=True):
        qrels = read_qrels(path, queries, doc_ids)
        judged = {query_id: text for query_id, text in queries.items() if query_id in qrels}
        found.append(
            RetrievalData(corpus=corpus, queries=judged, qrels=qrels, split=split, source="folder", part=part)
        )
    return found


def write_beir_folder(splits: Sequence[RetrievalData], folder: Path) -> None:
    """Write the splits of one collection as a BEIR folder, whole or not at all.

    Raises InputError where `folder` exists, and ValueError where the splits differ in corpus.
    """
    if any(data.corpus is not splits[0].corpus and data.corpus != splits[0].corpus for data in splits):
        raise ValueError("the splits of one BEIR folder share one corpus")
    if folder.exists():
        raise InputError.at(folder, None, "is there already; remove it first")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        temporary.chmod(0o755)
        documents = (
            {"_id": doc_id, "title": title, "text": text} for doc_id, title, text in splits[0].corpus
        )
        _write_records(temporary / "corpus.jsonl", documents)
        texts = {query_id: text for data in splits for query_id, text in data.queries.items()}
        queries = ({"_id": query_id, "text": text} for query_id, text in texts.items())
        _write_records(temporary / "queries.jsonl", queries)
        (temporary / "qrels").mkdir()
        for data in splits:
            write_qrels(temporary / "qrels" / f"{data.split}.tsv", data.qrels)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def find_file(folder: Path, name: str) -> Path:
    """Return the path of `name` in `folder`, plain or with .gz. Raises InputError where it is neither."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    problem = (
        f"no {name} (or {name}.gz) here; a BEIR folder has corpus.jsonl, queries.jsonl and qrels/<split>.tsv"
    )
    raise InputError.at(folder, None, problem if folder.is_dir() else "no such folder")


def find_splits(folder: Path) -> list[str]:
    """Return the names of the splits that a BEIR folder has judgments for, sorted."""
    return sorted({path.stem for form in QRELS_FORMS for path in (folder / "qrels").glob(f"*{form}")})


def _find_qrels(folder: Path, split: str) -> Path:
    paths = [folder / "qrels" / f"{split}{form}" for form in QRELS_FORMS]
    present = [path for path in paths if path.is_file()]
    if len(present) > 1:
        raise InputError.at(present[1], None, f"the split has judgments in {present[0].name} too; keep one")
    if not present:
        splits = ", ".join(find_splits(folder)) or "none"
        raise InputError.at(paths[0], None, f"no judgments of split {split!r}; splits here: {splits}")
    return present[0]


def _write_records(path: Path, records: Iterable[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
