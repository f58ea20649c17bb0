"""Judgments in BEIR's form: a header, then query-id, corpus-id and an integer score, separated by tabs.

A file whose name ends in .trec is in TREC's form instead (`interop/trec/qrels.py`).
A score above 0 judges a document relevant; 0 and below, which official collections have, not relevant.
"""

import csv
import io
import re
from collections.abc import Container, Iterator
from pathlib import Path

from mixbench.data.retrieval_data import Qrels
from mixbench.errors import InputError
from mixbench.files import numbered_lines
from mixbench.interop.trec import read_judgments

HEADER = ["query-id", "corpus-id", "score"]
INTEGER = re.compile(r"-?[0-9]{1,9}")


def read_qrels(path: Path, query_ids: Container[str], doc_ids: Container[str]) -> dict[str, dict[str, int]]:
    """Return the judgments of the queries that have a relevant document.

    Raises InputError for a line that cannot be used or names a query or document that is not there, and where
    no query has a relevant document.
    """
    qrels: dict[str, dict[str, int]] = {}
    judgments = read_judgments(path) if path.suffix == ".trec" else _read_beir(path)
    for number, query_id, doc_id, relevance in judgments:
        if query_id not in query_ids:
            raise _unknown(path, number, "query", query_id, "queries.jsonl")
        if doc_id not in doc_ids:
            raise _unknown(path, number, "document", doc_id, "corpus.jsonl")
        judged = qrels.setdefault(query_id, {})
        if doc_id in judged:
            problem = (
                f"query {query_id!r:.80} and document {doc_id!r:.80} are judged twice; keep one of the lines"
            )
            raise InputError.at(path, number, problem)
        judged[doc_id] = relevance
    qrels = {query_id: judged for query_id, judged in qrels.items() if max(judged.values()) > 0}
    if not qrels:
        raise InputError.at(
            path, None, "no query has a relevant document (a score above 0); nothing can be scored"
        )
    return qrels


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write judgments to `path`, quoting an id that begins with a quotation mark as BEIR's own files do."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(HEADER)
    for query_id, judged in qrels.items():
        writer.writerows((query_id, doc_id, relevance) for doc_id, relevance in judged.items())
    path.write_bytes(text.getvalue().encode())


def _read_beir(path: Path) -> Iterator[tuple[int, str, str, int]]:
    """Yield line number, query_id, doc_id and relevance of each line after the header."""
    lines = numbered_lines(path)
    number, header = next(lines, (1, ""))
    if _fields(header) != HEADER:
        problem = f"header {header!r:.80} is not 'query-id<TAB>corpus-id<TAB>score'; make that the first line"
        raise InputError.at(path, number, problem)
    for number, line in lines:
        fields = _fields(line)
        if len(fields) != len(HEADER):
            problem = f"{len(fields)} columns in {line!r:.80}; write query-id<TAB>corpus-id<TAB>score"
            raise InputError.at(path, number, problem)
        query_id, doc_id, score = fields
        if not INTEGER.fullmatch(score):
            raise InputError.at(path, number, f"score {score!r:.40} is not an integer; write 1 for relevant")
        yield number, query_id, doc_id, int(score)


def _fields(line: str) -> list[str]:
    if '"' not in line:
        return line.split("\t")
    try:
        return next(csv.reader([line], delimiter="\t"))
    except csv.Error:  # a quoted field without an end, or one that holds a line break
        return [line]


def _unknown(path: Path, number: int, kind: str, name: str, home: str) -> InputError:
    return InputError.at(
        path, number, f"{kind} {name!r:.80} is not in {home}; add it there or remove this line"
    )
