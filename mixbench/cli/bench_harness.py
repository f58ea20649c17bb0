"""`mixbench bench` on the harness itself: what it does beside running models."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import DataDir, Json, TasksDir, Written

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
    faiss: Annotated[
        list[str] | None,
        typer.Option(help="An index of faiss beside ours: flat, sq8, hnsw or ivfpq; repeatable. [flat]"),
    ] = None,
    output: Written = None,
    as_json: Json = False,
) -> None:
    """Queries a second of our exact search over embeddings, beside faiss and the search of mteb.

    Vectors are synthetic, float32 and of unit length. Recall is the share of our results that a peer found.
    A peer that is not installed is left out, and named.
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
        faiss=tuple(faiss or ["flat"]),
    )
    print_measured(bench_search(settings), output, as_json=as_json)


def bench_bm25_command(
    work: Annotated[
        str, typer.Option(help="search (a query at a time), batch (all queries in one call) or index.")
    ] = "search",
    documents: Annotated[int, typer.Option(min=10, help="Documents of the synthetic corpus.")] = 50_000,
    queries: Annotated[int, typer.Option(min=2, help="Queries timed.")] = 50,
    k: Annotated[int, typer.Option(min=1, help="Documents found for each query.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; of search each query is one.")] = 3,
    warm_up: Annotated[int, typer.Option(min=1, help="Rounds before those timed; of search queries.")] = 3,
    seed: Annotated[int, typer.Option(help="Of corpus and queries.")] = 0,
    output: Written = None,
    as_json: Json = False,
) -> None:
    """Speed of our BM25 on one thread, beside rank-bm25 and, where they are installed, bm25s and numba."""
    from mixbench.experiments.bench_bm25 import BM25Settings, bench_bm25
    from mixbench.experiments.reporting import print_measured

    settings = BM25Settings(
        work=work, documents=documents, queries=queries, k=k, rounds=rounds, warm_up=warm_up, seed=seed
    )
    print_measured(bench_bm25(settings), output, as_json=as_json)


def bench_eval_command(
    task: Annotated[
        str, typer.Option("--task", "-t", help="A task of mteb whose data is in a folder here.")
    ] = "beir/nfcorpus",
    model: Annotated[
        str, typer.Option("--model", "-m", help="minilm, mixer-tiny, a preset, a folder or ORG/NAME.")
    ] = "minilm",
    batch_size: Annotated[int, typer.Option(min=1, help="Texts encoded at once.")] = 32,
    rounds: Rounds = 3,
    warm_up: Annotated[int, typer.Option(min=0, help="Rounds before those timed.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of both. [the libraries' own]")] = None,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    output: Written = None,
    as_json: Json = False,
) -> None:
    """Seconds of a whole evaluation, beside mteb.evaluate of the same model and data, in fresh processes.

    Importing, loading, encoding, searching and scoring are all in it. The main scores of both are shown, and
    how much neither encoding nor search accounts for.
    """
    from mixbench.experiments.bench_eval import EvalSettings, bench_eval
    from mixbench.experiments.evaluating import Places
    from mixbench.experiments.reporting import print_measured

    settings = EvalSettings(
        model=model, task=task, batch_size=batch_size, rounds=rounds, warm_up=warm_up, threads=threads
    )
    places = Places(tasks_dir=tasks_dir, data_dir=data_dir, output=Path(), offline=True)
    print_measured(bench_eval(settings, places), output, as_json=as_json)


def bench_import_command(
    rounds: Rounds = 20,
    warm_up: Annotated[int, typer.Option(min=0, help="Rounds before those timed.")] = 2,
    output: Written = None,
    as_json: Json = False,
) -> None:
    """Seconds of `mixbench --help`, beside a bare program of typer, in fresh processes."""
    from mixbench.experiments.bench_import import bench_import
    from mixbench.experiments.reporting import print_measured

    print_measured(bench_import(rounds, warm_up), output, as_json=as_json)
