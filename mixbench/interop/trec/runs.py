"""Runs: "query_id Q0 doc_id rank score tag", read with every line checked.

trec_eval looks neither at the ranks nor at the order of the lines: it ranks by score. So does `read_run`. A
run that is out of order is no error therefore, but may not mean what its maker thinks, so it is said aloud.
What has no one meaning is refused: a score that is no finite number, a document twice for one query.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mixbench.errors import InputError
from mixbench.files import numbered_lines
from mixbench.interop.trec.fields import check_name, read_integer, split_fields
from mixbench.interop.trec.order import trec_order

FORM = "query_id Q0 doc_id rank score tag"
LARGEST = float.fromhex("0x1.fffffep+127")
"""The largest float32, which is what trec_eval holds a score in."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The rankings of one system, and the `tag` that names it."""

    rankings: Mapping[str, list[tuple[str, float]]]
    """query_id -> (doc_id, score) pairs in trec_eval's order, scores being float32 values."""
    tag: str


def read_run(path: Path, say: Callable[[str], None]) -> Run:
    """Return the run in a file: queries in the order of the file, each ranked by score as trec_eval ranks.

    `say` is told, in a line each, of queries whose ranks disagree with their scores, of queries whose lines
    are not together, and of several tags, of which the first is kept. The second field is not looked at.
    Raises InputError, naming file and line, for another number of fields, a rank that is no integer, a score
    that is no finite float32, a document listed twice for one query, and a file without rankings.
    """
    found: dict[str, dict[str, tuple[int, float]]] = {}
    tags: dict[str, None] = {}
    scattered: set[str] = set()
    last = ""
    for number, line in numbered_lines(path):
        query_id, _, doc_id, rank, score, tag = split_fields(path, number, line, FORM)
        entries = found.setdefault(query_id, {})
        if doc_id in entries:
            problem = f"document {doc_id!r:.80} is listed twice for query {query_id!r:.80}; keep one line"
            raise InputError.at(path, number, problem)
        if entries and query_id != last:
            scattered.add(query_id)
        entries[doc_id] = read_integer(path, number, "rank", rank), _score(path, number, score)
        tags[tag] = None
        last = query_id
    if not found:
        raise InputError.at(path, None, f"holds no ranking; write lines of {FORM!r}")
    rankings = {query_id: _by_score(entries) for query_id, entries in found.items()}
    misranked = sum(
        _by_rank(entries) != [doc_id for doc_id, _ in rankings[query_id]]
        for query_id, entries in found.items()
    )
    if misranked:
        problem = f"the ranks of {misranked} of {len(found)} queries disagree with their scores"
        say(f"{path}: {problem}; ranked by score, then by descending document id, as trec_eval does")
    if scattered:
        say(f"{path}: the lines of {len(scattered)} of {len(found)} queries are not together; gathered")
    if len(tags) > 1:
        say(f"{path}: {len(tags)} tags; read as one run, called {next(iter(tags))!r}")
    return Run(rankings=rankings, tag=next(iter(tags)))


def write_run(rankings: Mapping[str, Iterable[tuple[str, float]]], tag: str) -> str:
    """Return rankings by query id as a TREC run: lines of "query_id Q0 doc_id rank score tag".

    Ranks count from 1 in the order given; nine digits bring every float32 score back exactly; `tag` names
    the system. Raises InputError for an id or a tag that the format cannot hold: empty, or with white space.
    """
    check_name("run", "tag", tag)
    lines = []
    for query_id, ranking in rankings.items():
        check_name("run", "query id", query_id)
        for rank, (doc_id, score) in enumerate(ranking, start=1):
            check_name("run", "document id", doc_id)
            lines.append(f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n")
    return "".join(lines)


def _score(path: Path, number: int, field: str) -> float:
    try:
        score = math.nan if "_" in field else float(field)  # Python reads 1_0 as 10
    except ValueError:
        score = math.nan
    if not abs(score) <= LARGEST:  # NaN too
        problem = f"score {field!r:.40} is no finite float32 number; write one, or leave the document out"
        raise InputError.at(path, number, problem)
    return score


def _by_score(entries: Mapping[str, tuple[int, float]]) -> list[tuple[str, float]]:
    return trec_order([(doc_id, score) for doc_id, (_, score) in entries.items()])


def _by_rank(entries: Mapping[str, tuple[int, float]]) -> list[str]:
    """Return documents by rank; equal ranks, which some systems write, in the order of the file."""
    return sorted(entries, key=lambda doc_id: entries[doc_id][0])
