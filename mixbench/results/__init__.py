"""Results: one JSON file for each retriever and task, written once.

    <output>/<benchmark>/<model>/<revision>/<task>.json             a Result, written last
    <output>/<benchmark>/<model>/<revision>/<task>.queries.json.gz  the scores of each query
    <output>/<benchmark>/<model>/<revision>/runs/<task>.trec        the rankings, not for version control
    <output>/<benchmark>/<task>.<data>.clusters.json.gz             queries that share a document (known-item)

`revision` is the start of a hash over the recipe, so that two models never share a folder. `identity` is a
hash over everything that decides the scores: only a stored result of the same identity is ever reused. The
scores in a Result are exactly the means of the query scores in the file beside it.
"""

from mixbench.results.clusters import Clusters, cluster_queries, clusters_path, read_clusters, save_clusters
from mixbench.results.identity import METRICS_VERSION, canonical_json, identity_of, revision_of, sha256_text
from mixbench.results.query_scores import QueryScores, encode_query_scores, mean_scores
from mixbench.results.result import (
    METRICS,
    Costs,
    Provenance,
    Result,
    Scores,
    folder_name,
    holds_stored_run,
    in_domain_sources,
    result_place,
)
from mixbench.results.storage import (
    check_places,
    find_results,
    query_scores_path,
    read_query_scores,
    read_result,
    result_paths,
    run_path,
    save_result,
)

__all__ = [
    "METRICS",
    "METRICS_VERSION",
    "Clusters",
    "Costs",
    "Provenance",
    "QueryScores",
    "Result",
    "Scores",
    "canonical_json",
    "check_places",
    "cluster_queries",
    "clusters_path",
    "encode_query_scores",
    "find_results",
    "folder_name",
    "holds_stored_run",
    "identity_of",
    "in_domain_sources",
    "mean_scores",
    "query_scores_path",
    "read_clusters",
    "read_query_scores",
    "read_result",
    "result_paths",
    "result_place",
    "revision_of",
    "run_path",
    "save_clusters",
    "save_result",
    "sha256_text",
]
