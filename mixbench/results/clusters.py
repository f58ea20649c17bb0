"""Clusters: which queries of a known-item task look for the same document.

Such queries are no independent observations, so boards draw their documents again instead of single queries.
Boards are checked without the data, therefore the clusters are kept, once for a task and its data:

    <output>/<benchmark>/<task>.<first 12 digits of the data's SHA-256>.clusters.json.gz
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from mixbench.errors import InputError
from mixbench.results.identity import canonical_json
from mixbench.results.storage import read_json, read_packed, write_packed

Clusters = Mapping[str, int]
"""query_id -> number of its cluster. In a task of several parts a query is called part/query_id."""


def cluster_queries(qrels: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return the clusters of queries with judgments `qrels`: those that share a relevant document are in one.

    A query that shares one with each of two others joins them. Numbers count from 0, by sorted query id.
    """
    of_document: dict[str, str] = {}
    parent = {query_id: query_id for query_id in qrels}

    def root(query_id: str) -> str:
        while parent[query_id] != query_id:
            parent[query_id] = parent[parent[query_id]]
            query_id = parent[query_id]
        return query_id

    for query_id, judged in qrels.items():
        for doc_id, relevance in judged.items():
            if relevance > 0:
                parent[root(query_id)] = root(of_document.setdefault(doc_id, query_id))
    numbers: dict[str, int] = {}
    return {query_id: numbers.setdefault(root(query_id), len(numbers)) for query_id in sorted(qrels)}


def clusters_path(folder: Path, task: str, data_sha256: str) -> Path:
    """Return the path of a task's clusters in the benchmark's `folder`."""
    return folder / f"{task.split('/')[1]}.{data_sha256[:12]}.clusters.json.gz"


def save_clusters(output: Path, task: str, data_sha256: str, clusters: Clusters) -> Path:
    """Write the clusters of a task's queries below `output` unless they are there; return the file's path."""
    path = clusters_path(output / task.split("/")[0], task, data_sha256)
    if not path.exists():
        numbers = [clusters[query_id] for query_id in sorted(clusters)]
        fields = {"clusters": numbers, "data_sha256": data_sha256, "task": task}
        write_packed(path, canonical_json(fields))
    return path


def read_clusters(folder: Path, task: str, data_sha256: str, query_ids: Iterable[str]) -> Clusters | None:
    """Return the clusters of a task's `query_ids`, kept in the benchmark's `folder`; None where none are.

    Raises InputError for a damaged file, and for one of other data or queries.
    """
    path = clusters_path(folder, task, data_sha256)
    if not path.exists():
        return None
    fields = read_json(path, read_packed(path))
    try:
        if (fields["task"], fields["data_sha256"]) != (task, data_sha256):
            raise ValueError("of other data")
        return {query_id: int(k) for query_id, k in zip(sorted(query_ids), fields["clusters"], strict=True)}
    except (KeyError, TypeError, ValueError) as error:
        problem = f"not the clusters of the queries of {task}"
        raise InputError.at(path, None, f"{problem}; remove it and evaluate again") from error
