"""`mixbench bench` on the harness itself: what it does beside running models."""

from typing import Annotated

import typer

from mixbench.cli.options import Json, Written

Rounds = Annotated[int, typer.Option(min=1, help="Rounds, in each of which all take a turn.")]


def bench_search_command(
    documents: Annotated[int, typer.Option(min=1, help="Vectors searched.")] = 100_000,
    dimension: Annotated[int, typer.Option(min=1, help="Dimensions of a vector.")] = 384,
    queries: Annotated[int, typer.Option(min=1, help="Queries in a round, all at once.")] = 100,
    k: Annotated[int, typer.Option(min=1, help="Documents found for each query.")] = 100,
    rounds: Rounds = 5,
    warm_up: Annotated[int, typer.Option(min=1, help="Rounds before those timed.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch and faiss. [torch's]")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of vectors and queries.")] = 0,
    output: Written = None,
    as_json: Json = False,
) -> None:
    """Queries a second of our exact search over embeddings, beside faiss flat and the search of mteb.

    Vectors are synthetic, float32 and of unit length. A peer that is not installed is left out, and named.
    """
    from mixbench.experiments.bench_search import SearchSettings, bench_search
    from mixbench.experiments.reporting import print_measured

    settings = SearchSettings(
        documents=documents,
        dimension=dimension,
        queries=queries,
        k=k,
        rounds=rounds,
        warm_up=warm_up,
        threads=threads,
        seed=seed,
    )
    print_measured(bench_search(settings), output, as_json=as_json)
