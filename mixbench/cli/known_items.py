"""Verbs that repeat the paper's retrieval protocols on known items: pools, and set matchers."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import DataDir, Device, Json, TasksDir

Model = Annotated[str, typer.Option("--model", "-m", help="As -m of eval takes it.")]
TaskName = Annotated[
    str | None, typer.Option("--task", "-t", help="Task whose queries have one relevant document each.")
]
PairFile = Annotated[
    Path | None, typer.Option(help="File of pairs in place of a task: jsonl, .gz, .xz, parquet.")
]
Limit = Annotated[int | None, typer.Option(min=2, help="Pairs of the file taken, at random. [all]")]
OutputFile = Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Texts encoded at once.")]
MaxLength = Annotated[int | None, typer.Option(min=1, help="Tokens read of a text. [the model's own]")]
Offline = Annotated[bool, typer.Option("--offline", help="Never ask the hub.")]


def pools_command(
    model: Model,
    task: TaskName = None,
    pairs: PairFile = None,
    limit: Limit = None,
    pool: Annotated[
        list[int] | None,
        typer.Option(min=3, help="Size, the query counted; repeatable. [32, 64 to 8192, those that fit]"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Draws of the pools, by seed 0, 1 and so on.")] = 1,
    signs: Annotated[
        bool, typer.Option("--signs", help="Cut embeddings to their signs, as the paper's Llama's were.")
    ] = False,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    device: Device = "cpu",
    batch_size: BatchSize = 32,
    max_length: MaxLength = None,
    seed: Annotated[int, typer.Option(min=0, help="Of untrained weights, and of the pairs taken.")] = 0,
    offline: Offline = False,
    output: OutputFile = None,
    as_json: Json = False,
) -> None:
    """Top-1 accuracy in small pools, drawn as the paper draws them and exactly, and scores of all documents.

    Give a task or a file of pairs. Queries without exactly one relevant document are left out.
    """
    from mixbench.experiments.evaluating import Places
    from mixbench.experiments.known_items import known_items
    from mixbench.experiments.pools import run_pools
    from mixbench.experiments.reporting import print_measured
    from mixbench.experiments.systems import EncoderOptions

    options = EncoderOptions(
        device=device, batch_size=batch_size, max_length=max_length, seed=seed, offline=offline
    )
    places = Places(tasks_dir=tasks_dir, data_dir=data_dir, offline=offline)
    items = known_items(task, pairs, places, limit=limit, seed=seed)
    report = run_pools(model, items, places, options, pools=pool or (), seeds=range(seeds), signs=signs)
    print_measured(report, output, as_json=as_json)


def match_command(
    model: Model,
    task: TaskName = None,
    pairs: PairFile = None,
    limit: Limit = None,
    sets: Annotated[
        list[int] | None, typer.Option(min=3, help="Rows of a set, the query counted; repeatable. [32]")
    ] = None,
    matcher: Annotated[
        list[str] | None,
        typer.Option(
            help="mixer, equivariant, cosine, l1 or l2; repeatable. [mixer, equivariant, cosine]",
        ),
    ] = None,
    standardise: Annotated[
        bool, typer.Option("--standardise", help="Bring each dimension to mean 0 and deviation 1 first.")
    ] = False,
    depth: Annotated[int, typer.Option(min=1, help="Blocks of a matcher that is trained.")] = 8,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the pairs, a set for each.")] = 50,
    learning_rate: Annotated[float, typer.Option(help="Peak, after warm-up.")] = 1e-4,
    warmup_steps: Annotated[int, typer.Option(min=0, help="Steps up to the peak.")] = 500,
    sets_at_once: Annotated[int, typer.Option(min=1, help="Sets in a training step.")] = 128,
    precision: Annotated[str, typer.Option(help="Of training: fp32 or bf16.")] = "fp32",
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    device: Device = "cpu",
    batch_size: BatchSize = 32,
    max_length: MaxLength = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of untrained weights, pairs taken, split, matchers and sets.")
    ] = 0,
    offline: Offline = False,
    output: OutputFile = None,
    as_json: Json = False,
) -> None:
    """Train networks that find a query's match in a set of frozen embeddings, and score them on other texts.

    Give a task or a file of pairs. A fifth of the documents are tested on, with the queries that look for
    them, and a tenth choose the epoch; queries without exactly one relevant document are left out.
    """
    from mixbench.experiments.evaluating import Places
    from mixbench.experiments.known_items import known_items
    from mixbench.experiments.matching import run_matching
    from mixbench.experiments.reporting import print_measured
    from mixbench.experiments.systems import EncoderOptions
    from mixbench.probes.matcher_training import MatcherSettings

    settings = MatcherSettings(
        epochs=epochs,
        batch_size=sets_at_once,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        precision=precision,  # type: ignore[arg-type]  # checked there
        seed=seed,
    )
    options = EncoderOptions(
        device=device, batch_size=batch_size, max_length=max_length, seed=seed, offline=offline
    )
    places = Places(tasks_dir=tasks_dir, data_dir=data_dir, offline=offline)
    items = known_items(task, pairs, places, limit=limit, seed=seed)
    report = run_matching(
        model,
        items,
        places,
        options,
        settings=settings,
        rows=sets or (32,),
        matchers=matcher or ("mixer", "equivariant", "cosine"),
        standardise=standardise,
        depth=depth,
    )
    print_measured(report, output, as_json=as_json)
