"""`mixbench bench`: speed side by side with a peer."""

from typing import Annotated

import typer

from mixbench.cli.options import Json


def bench_bm25_command(
    documents: Annotated[int, typer.Option(min=10, help="Documents of the synthetic corpus.")] = 50_000,
    queries: Annotated[int, typer.Option(min=2, help="Queries timed.")] = 50,
    seed: Annotated[int, typer.Option(help="Of corpus and queries.")] = 0,
    as_json: Json = False,
) -> None:
    """Query time of our BM25, top 100 included, beside rank-bm25's scores."""
    from mixbench.experiments.bench_bm25 import bench_bm25
    from mixbench.experiments.reporting import print_bench

    print_bench(bench_bm25(documents=documents, queries=queries, seed=seed), as_json=as_json)
