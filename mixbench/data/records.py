"""JSON Lines of documents and queries, as BEIR writes them: read with every line checked.

Whatever could change a score in silence is refused, by file and line. Documents without any text are not:
official collections have them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixbench.data.corpus_file import CorpusFile
from mixbench.data.retrieval_data import Document
from mixbench.errors import InputError
from mixbench.files import numbered_lines, parse_json


def read_documents(path: Path, *, on_disk: bool = False) -> Sequence[Document]:
    """Return the documents of a corpus file, in memory or `on_disk` (`corpus_file.py`).

    Raises InputError for a bad line, and for none.
    """
    read = (
        Document(doc_id, _title(record, path, line), _text(record, path, line))
        for line, doc_id, record in _records(path)
    )
    documents = CorpusFile(read) if on_disk else list(read)
    if not documents:
        raise InputError.at(path, None, "holds no document; a corpus needs at least one")
    return documents


def read_queries(path: Path) -> dict[str, str]:
    """Return query_id -> text, in the order of the file. Raises InputError for a line that cannot be used."""
    return {query_id: _words(record, path, line) for line, query_id, record in _records(path)}


def _records(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield line number, id and record of each line of a JSON Lines file."""
    seen: dict[str, int] = {}
    for number, line in numbered_lines(path):
        try:
            record = parse_json(line)
        except json.JSONDecodeError as error:
            problem = f"broken JSON at column {error.colno} ({error.msg}); each line is one whole JSON object"
            raise InputError.at(path, number, problem) from error
        except ValueError as error:
            raise InputError.at(path, number, f"JSON that cannot be used: {error}") from error
        if not isinstance(record, dict):
            problem = f'{line!r:.60} is not a JSON object; write {{"_id": ..., "text": ...}}'
            raise InputError.at(path, number, problem)
        record_id = _id(record, path, number)
        first = seen.setdefault(record_id, number)
        if first != number:
            problem = f"'_id' {record_id!r:.80} is on line {first} already; give each line its own"
            raise InputError.at(path, number, problem)
        yield number, record_id, record


def _id(record: Mapping[str, Any], path: Path, number: int) -> str:
    if "_id" not in record:
        raise InputError.at(path, number, "no '_id'; give the line one, a string")
    value = _string(record["_id"], "_id", path, number)
    if not value.strip():
        raise InputError.at(path, number, f"'_id' {value!r} is empty; give the line one")
    if "\t" in value or len(value.splitlines()) > 1:
        problem = f"'_id' {value!r:.80} has a tab or a line break, which qrels cannot hold; rename it"
        raise InputError.at(path, number, problem)
    return value


def _title(record: Mapping[str, Any], path: Path, number: int) -> str:
    title = record.get("title")
    return "" if title is None else _string(title, "title", path, number)


def _text(record: Mapping[str, Any], path: Path, number: int) -> str:
    if "text" not in record:
        raise InputError.at(path, number, "no 'text'; give the line one (a document's may be empty)")
    return _string(record["text"], "text", path, number)


def _words(record: Mapping[str, Any], path: Path, number: int) -> str:
    text = _text(record, path, number)
    if not text.strip():
        raise InputError.at(
            path, number, "empty 'text'; a query needs words, so write them or remove the line"
        )
    return text


def _string(value: object, field: str, path: Path, number: int) -> str:
    if not isinstance(value, str):
        raise InputError.at(path, number, f"'{field}' {value!r:.60} is not a string; write it in quotes")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        problem = f"'{field}' has half a surrogate pair, {value[error.start]!r}, which no UTF-8 file can hold"
        raise InputError.at(path, number, f"{problem}; write the whole character") from error
    return value
