"""Verbs on models and tasks: evaluate, and show what came of it."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import DataDir, Device, Json, Memory, Output, StoreDir, StoreLimit, TasksDir


def eval_command(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="bm25, minilm, mixer-tiny, a preset, a folder or ORG/NAME; repeatable. [bm25, mixer-tiny]",
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            "-t",
            help="Benchmark, task, pattern, mteb:NAME or irds:ID; repeatable. [quickstart, embedded]",
        ),
    ] = None,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    output: Output = Path("leaderboards"),
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Go on without tasks that have no data.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace stored results.")] = False,
    device: Device = "cpu",
    batch_size: Annotated[int, typer.Option(min=1, help="Texts encoded at once.")] = 32,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens read of a text. [the model's own]")
    ] = None,
    query_prompt: Annotated[
        str | None,
        typer.Option(help="Put before each query, {instruction} for the task's. [the model's own]"),
    ] = None,
    document_prompt: Annotated[
        str | None, typer.Option(help="Put before each document. [the model's own]")
    ] = None,
    instruction: Annotated[
        str | None, typer.Option(help="What to put for {instruction}. [mteb's, of each task]")
    ] = None,
    similarity: Annotated[str | None, typer.Option(help="cosine or dot. [the model's own]")] = None,
    truncate_dim: Annotated[
        int | None, typer.Option(min=1, help="Dimensions kept of an embedding, the first ones. [all]")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Indexed embeddings: float32, int8 or binary, against float32 queries.")
    ] = "float32",
    dtype: Annotated[
        str | None,
        typer.Option(help="Weights: float32, bfloat16, float16, or int8 on a CPU. [the model's own]"),
    ] = None,
    load_in_4bit: Annotated[
        bool, typer.Option("--load-in-4bit", help="Hold a transformer's weights in 4 bits; extra 4bit.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of an untrained preset's weights.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the hub.")] = False,
    rerank: Annotated[
        str | None,
        typer.Option(help="Rerank each model: a cross-encoder's folder or ORG/NAME, or maxsim:MODEL."),
    ] = None,
    rerank_depth: Annotated[int, typer.Option(min=1, help="Documents of a query reranked.")] = 100,
    store: StoreDir = None,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Compute every embedding, and keep none.")
    ] = False,
    store_limit: StoreLimit = 10.0,
    memory: Memory = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Let Ray encode documents: local (all GPUs of this machine with --device cuda, else its"
            " cores), or a cluster's HOST:PORT; extra ray. [this process encodes]"
        ),
    ] = None,
    trust_remote_code: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Model of -m whose own code may run; repeatable. [none]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Evaluate models on tasks, store each result, print the table."""
    from mixbench.experiments.evaluating import Places, chosen_tasks, run_evaluations
    from mixbench.experiments.reporting import print_results
    from mixbench.experiments.storing import open_encoding
    from mixbench.experiments.systems import EncoderOptions

    if no_store and store is not None:
        raise typer.BadParameter("--store and --no-store exclude each other; leave one out")
    if no_store and ray is not None:
        raise typer.BadParameter("--ray brings embeddings into the store; leave out --no-store")
    options = EncoderOptions(
        device=device,
        batch_size=batch_size,
        max_length=max_length,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        instruction=instruction,
        similarity=similarity,
        truncate_dim=truncate_dim,
        precision=precision,
        dtype=dtype,
        load_in_4bit=load_in_4bit,
        seed=seed,
        offline=offline,
        rerank=rerank,
        rerank_depth=rerank_depth,
        encoding=open_encoding(store, store_limit, stored=not no_store, memory=memory),
        trust_remote_code=tuple(trust_remote_code or ()),
    )
    places = Places(
        tasks_dir=tasks_dir,
        data_dir=data_dir,
        output=output,
        offline=offline,
        texts_on_disk=memory is not None,
    )
    chosen = chosen_tasks(tasks or ["quickstart"], tasks_dir)
    results = run_evaluations(
        model or ["bm25", "mixer-tiny"],
        chosen,
        places,
        options,
        skip_missing=skip_missing,
        overwrite=overwrite,
        ray=ray,
    )
    print_results(results, as_json=as_json)


def leaderboard_command(
    benchmark: Annotated[
        str, typer.Argument(help="Folder below the output: beir, classic, domain, quickstart.")
    ],
    output: Output = Path("leaderboards"),
    tasks_dir: TasksDir = None,
    data_dir: DataDir = None,
    csv: Annotated[Path | None, typer.Option(help="CSV file to write, a line for each row.")] = None,
    json: Annotated[
        Path | None, typer.Option(help="JSON file to write, with all that the page says.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="HTML page to write: one file that sorts, filters and plots, and asks no network."),
    ] = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Put queries in the HTML page, where the licence allows it.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: prove the page from results, runs and data here.")
    ] = False,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Show results of uncommitted code, marked.")
    ] = False,
) -> None:
    """Render the leaderboard of a benchmark from its results."""
    from mixbench.experiments.boards import check_benchmark, write_benchmark

    if check and (csv or json or html):
        raise typer.BadParameter("--check writes nothing; leave out --csv, --json and --html")
    if with_text and html is None:
        raise typer.BadParameter("--with-text is for the HTML page; give --html FILE, or leave it out")
    if not check:
        written = write_benchmark(
            benchmark, output, tasks_dir, csv, json, html,
            allow_dirty=allow_dirty, with_text=with_text, data_dir=data_dir,
        )  # fmt: skip
        for path in written:
            typer.echo(path)
        return
    problems = check_benchmark(benchmark, output, tasks_dir, data_dir)
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(3)
