"""`mixbench bench`: speed side by side with a peer."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import Device, Json


def bench_bm25_command(
    documents: Annotated[int, typer.Option(min=10, help="Documents of the synthetic corpus.")] = 50_000,
    queries: Annotated[int, typer.Option(min=2, help="Queries timed.")] = 50,
    seed: Annotated[int, typer.Option(help="Of corpus and queries.")] = 0,
    as_json: Json = False,
) -> None:
    """Query time of our BM25, top 100 included, beside rank-bm25's scores."""
    from mixbench.experiments.bench_bm25 import bench_bm25
    from mixbench.experiments.reporting import print_measured

    print_measured(bench_bm25(documents=documents, queries=queries, seed=seed), None, as_json=as_json)


def bench_train_command(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Presets; the others are compared with the first. [small small-twin small-wide-twin]",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Pairs in a batch.")] = 256,
    tokens: Annotated[
        int, typer.Option(min=2, help="Length of a positive; with --pairs the longest text that is read.")
    ] = 256,
    query_tokens: Annotated[int, typer.Option(min=2, help="Length of a query; not with --pairs.")] = 32,
    pairs: Annotated[
        Path | None, typer.Option(help="File of pairs, in place of synthetic ones of random words.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps timed in a round.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, in each of which all models take a turn.")] = 5,
    warm_up: Annotated[int, typer.Option(min=1, help="Steps before those timed, in each turn.")] = 5,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the networks with torch.compile.")
    ] = False,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="fp32, bf16, or auto: bf16 on a GPU that has it.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of weights, pairs and batches.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file to write, with each round's figures.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Training speed of several presets, in turns, by the trainer of train-retriever.

    Operations a second are 3 times the counted matrix products of the forward pass; their share of the
    peak is that of a large matrix product, timed in the same run. A model that cannot run is left out, with
    the reason.
    """
    from mixbench.experiments.bench_train import bench_presets
    from mixbench.experiments.bench_train_inputs import TrainBenchSettings
    from mixbench.experiments.reporting import print_measured

    settings = TrainBenchSettings(
        batch_size=batch_size,
        tokens=tokens,
        query_tokens=query_tokens,
        steps=steps,
        rounds=rounds,
        warm_up=warm_up,
        compile=compile_model,
        device=device,
        precision=precision,  # type: ignore[arg-type]  # checked by TrainConfig
        seed=seed,
    )
    named = presets or ["small", "small-twin", "small-wide-twin"]
    print_measured(bench_presets(named, settings, pairs), output, as_json=as_json)
