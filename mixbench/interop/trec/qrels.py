"""Judgments: "query_id 0 doc_id relevance", a relevance above 0 for relevant."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mixbench.errors import InputError
from mixbench.files import numbered_lines
from mixbench.interop.trec.fields import check_name, read_integer, split_fields

FORM = "query_id 0 doc_id relevance"


def read_judgments(path: Path) -> Iterator[tuple[int, str, str, int]]:
    """Yield the line's number, query_id, doc_id and relevance of each judgment. Raises as `read_qrels`."""
    for number, line in numbered_lines(path):
        query_id, _, doc_id, relevance = split_fields(path, number, line, FORM)
        yield number, query_id, doc_id, read_integer(path, number, "relevance", relevance)


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return query_id -> doc_id -> relevance, in the order of the file; the second field is not looked at.

    Raises InputError, naming file and line, for another number of fields, a relevance that is no integer, a
    document judged twice for one query, and a file without judgments.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, query_id, doc_id, relevance in read_judgments(path):
        judged = qrels.setdefault(query_id, {})
        if doc_id in judged:
            problem = f"query {query_id!r:.80} and document {doc_id!r:.80} are judged twice; keep one line"
            raise InputError.at(path, number, problem)
        judged[doc_id] = relevance
    if not qrels:
        raise InputError.at(path, None, f"holds no judgment; write lines of {FORM!r}")
    return qrels


def write_qrels(qrels: Mapping[str, Mapping[str, int]]) -> str:
    """Return judgments by query id in TREC's form, in the order given.

    Raises InputError for an id that the form cannot hold: empty, or with white space.
    """
    lines = []
    for query_id, judged in qrels.items():
        check_name("qrels file", "query id", query_id)
        for doc_id, relevance in judged.items():
            check_name("qrels file", "document id", doc_id)
            lines.append(f"{query_id} 0 {doc_id} {relevance}\n")
    return "".join(lines)
