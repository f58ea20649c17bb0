"""The command line: each verb is its options, one call, and what it prints.

Data goes to standard output, progress and messages to standard error. Exit status: 0 done, 1 an expected
error (one line), 2 usage, 3 a check that failed. Rooms are imported inside verbs, so that help is instant.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mixbench.errors import MixbenchError

app = typer.Typer(
    help="Evaluate retrievers, train masked mixers, publish leaderboards.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Get and check evaluation data.", no_args_is_help=True, rich_markup_mode=None)
bench_app = typer.Typer(
    help="Measure speed side by side with a peer.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")

TasksDir = Annotated[
    Path | None, typer.Option(help="Folder of task files, instead of ./tasks or the package's.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of BEIR folders, looked at before $MIXBENCH_DATA and ~/.cache/mixbench/data."),
]
Device = Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1, mps.")]
Output = Annotated[Path, typer.Option(help="Folder of results and boards.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("eval")
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
            "--tasks", "-t", help="Benchmark, task, pattern or mteb:NAME; repeatable. [quickstart, embedded]"
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
    query_prompt: Annotated[str | None, typer.Option(help="Put before each query. [the model's own]")] = None,
    document_prompt: Annotated[
        str | None, typer.Option(help="Put before each document. [the model's own]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of an untrained preset's weights.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the hub.")] = False,
    as_json: Json = False,
) -> None:
    """Evaluate models on tasks, store each result, print the table."""
    from mixbench.experiments.evaluating import Places, chosen_tasks, run_evaluations
    from mixbench.experiments.reporting import print_results
    from mixbench.experiments.systems import EncoderOptions

    options = EncoderOptions(
        device=device,
        batch_size=batch_size,
        max_length=max_length,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        seed=seed,
        offline=offline,
    )
    places = Places(tasks_dir=tasks_dir, data_dir=data_dir, output=output, offline=offline)
    chosen = chosen_tasks(tasks or ["quickstart"], tasks_dir)
    results = run_evaluations(
        model or ["bm25", "mixer-tiny"],
        chosen,
        places,
        options,
        skip_missing=skip_missing,
        overwrite=overwrite,
    )
    print_results(results, as_json=as_json)


@app.command("train-retriever")
def train_retriever_command(
    base: Annotated[
        str, typer.Argument(help="Preset (tiny, small, base, tiny-twin, ...), mixer-tiny or a model folder.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the trained model to.")],
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--pairs", help="PATH or PATH:WEIGHT of query and positive; jsonl, .gz, .xz, parquet; repeatable."
        ),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Train on this task's train split; repeatable.")
    ] = None,
    exclude_task: Annotated[
        list[str] | None,
        typer.Option(help="Drop pairs that hold a test query, or a document relevant to one; repeatable."),
    ] = None,
    licence: Annotated[
        list[str] | None, typer.Option(help="SOURCE=LICENCE for the card; repeatable.")
    ] = None,
    model_licence: Annotated[str, typer.Option(help="Licence of the weights, for the card.")] = "",
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    dev_pairs: Annotated[
        int, typer.Option(min=0, help="Held out of each source to choose the checkpoint.")
    ] = 500,
    temperature: Annotated[float, typer.Option(help="Of the InfoNCE softmax.")] = 0.05,
    learning_rate: Annotated[float, typer.Option(help="Peak, after warm-up.")] = 5e-4,
    batch_size: Annotated[
        int, typer.Option(min=2, help="Pairs in a batch: each has the others' positives as negatives.")
    ] = 256,
    mini_batch_size: Annotated[
        int | None, typer.Option(min=1, help="Texts embedded at once: less memory, same loss.")
    ] = None,
    epochs: Annotated[float, typer.Option(help="Passes over the pairs.")] = 1.0,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many steps, whatever --epochs says.")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes.")] = None,
    eval_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between checkpoints. [a tenth of the run]")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens read of a text. [the model's own]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and samples.")] = 0,
    device: Device = "cpu",
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches.")] = 0,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the network with torch.compile.")
    ] = False,
    shrink: Annotated[bool, typer.Option("--shrink", help="Store a mixer's weights as int8 rows.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output folder.")] = False,
) -> None:
    """Fine-tune a retriever with cosine InfoNCE and write its folder, record and card."""
    from mixbench.experiments.training import PairOptions, run_training
    from mixbench.training.config import TrainConfig

    config = TrainConfig(
        temperature=temperature,
        learning_rate=learning_rate,
        batch_size=batch_size,
        mini_batch_size=mini_batch_size,
        epochs=epochs,
        max_steps=max_steps,
        max_minutes=max_minutes,
        eval_every=eval_every,
        max_length=max_length,
        seed=seed,
        workers=workers,
        compile=compile_model,
    )
    sources = PairOptions(
        files=pairs or [],
        tasks=task or [],
        exclude_tasks=exclude_task or [],
        licences=licence or [],
        dev_pairs=dev_pairs,
        tasks_dir=tasks_dir,
        data_dir=data_dir,
    )
    folder = run_training(
        base, sources, config, output,
        device=device, model_licence=model_licence, shrink=shrink, resume=resume, overwrite=overwrite,
    )  # fmt: skip
    typer.echo(folder)


@app.command("leaderboard")
def leaderboard_command(
    benchmark: Annotated[
        str, typer.Argument(help="Folder below the output: beir, classic, domain, quickstart.")
    ],
    output: Output = Path("leaderboards"),
    tasks_dir: TasksDir = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: prove the page from the results.")
    ] = False,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Show results of uncommitted code, marked.")
    ] = False,
) -> None:
    """Render the Markdown leaderboard of a benchmark from its results."""
    from mixbench.experiments.reporting import check_benchmark, write_benchmark

    if not check:
        typer.echo(write_benchmark(benchmark, output, tasks_dir, allow_dirty=allow_dirty))
        return
    problems = check_benchmark(benchmark, output, tasks_dir)
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(3)


@app.command("train-tokenizer")
def train_tokenizer_command(
    output: Annotated[Path, typer.Argument(help="JSON file to write.")],
    pairs: Annotated[list[Path] | None, typer.Option(help="Pair file, both sides used; repeatable.")] = None,
    text: Annotated[
        list[Path] | None, typer.Option(help="Text file, plain or compressed; repeatable.")
    ] = None,
    vocabulary: Annotated[int, typer.Option(min=300, help="Tokens.")] = 16_384,
) -> None:
    """Train the lower-cased byte-level BPE tokenizer that mixers and twins share."""
    from mixbench.experiments.tokenizing import run_tokenizer_training

    typer.echo(run_tokenizer_training(output, pairs or [], text or [], vocabulary))


@data_app.command("get")
def data_get_command(
    task: Annotated[str, typer.Argument(help="Task whose data to download.")],
    destination: Annotated[
        Path | None, typer.Option(help="Folder of BEIR folders. [~/.cache/mixbench/data]")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Zip of a BEIR folder, instead of the official one.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the server to send something.")] = 30.0,
    tasks_dir: TasksDir = None,
) -> None:
    """Download a task's data into the cache, all of it or nothing."""
    from mixbench.data.download import get_data
    from mixbench.experiments.progress import download_bar
    from mixbench.tasks import load_task

    with download_bar(task) as progress:
        folder = get_data(
            load_task(task, tasks_dir), destination=destination, url=url, timeout=timeout, progress=progress
        )
    typer.echo(folder)


@data_app.command("check")
def data_check_command(
    folder: Annotated[Path, typer.Argument(help="BEIR folder to read whole.")],
    record: Annotated[
        bool, typer.Option("--record", help="Write the data's sha256 into the tasks of this folder's name.")
    ] = False,
    tasks_dir: TasksDir = None,
) -> None:
    """Validate a BEIR folder and print what is in it."""
    from mixbench.experiments.reporting import describe_data

    typer.echo(describe_data(folder, record=record, tasks_dir=tasks_dir))


@bench_app.command("bm25")
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


def main() -> None:
    """Run the command line; end an expected error with one line and exit status 1."""
    try:
        app(prog_name="mixbench")
    except MixbenchError as error:
        typer.echo(f"mixbench: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("mixbench: interrupted", err=True)
        sys.exit(130)


__all__ = ["app", "main"]
