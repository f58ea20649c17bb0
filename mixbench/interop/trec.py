"""TREC files: the form in which rankings travel between evaluation tools."""

from collections.abc import Iterable, Mapping

from mixbench.errors import InputError


def write_run(rankings: Mapping[str, Iterable[tuple[str, float]]], tag: str) -> str:
    """Return rankings by query id as a TREC run: lines of "query_id Q0 doc_id rank score tag".

    Ranks count from 1 in the order given; nine digits bring every float32 score back exactly; `tag` names
    the system. Raises InputError for an id or a tag that the format cannot hold: empty, or with white space.
    """
    _check("tag", tag)
    lines = []
    for query_id, ranking in rankings.items():
        _check("query id", query_id)
        for rank, (doc_id, score) in enumerate(ranking, start=1):
            _check("document id", doc_id)
            lines.append(f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n")
    return "".join(lines)


def _check(kind: str, name: str) -> None:
    if name.split() != [name]:
        raise InputError(f"{kind} {name!r}: a TREC run holds no empty name and no white space; rename it")
