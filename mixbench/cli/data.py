"""`mixbench data`: get and check evaluation data, and hand out its judgments."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import DataDir, TasksDir


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


def data_qrels_command(
    task: Annotated[str, typer.Argument(help="Task whose judgments to print.")],
    split: Annotated[str | None, typer.Option(help="Split to print. [the evaluation split]")] = None,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the hub.")] = False,
) -> None:
    """Print a task's judgments as TREC qrels, which belong to the runs that eval writes."""
    from mixbench.experiments.judgments import task_qrels

    typer.echo(task_qrels(task, split, data_dir=data_dir, tasks_dir=tasks_dir, offline=offline), nl=False)


def data_export_command(
    task: Annotated[str, typer.Argument(help="Task whose data to write.")],
    folder: Annotated[Path, typer.Argument(help="BEIR folder to write.")],
    split: Annotated[
        list[str] | None, typer.Option(help="Split to write; repeatable. [the one that is evaluated]")
    ] = None,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the hub.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder.")] = False,
) -> None:
    """Write a task's data, wherever it comes from, as a BEIR folder."""
    from mixbench.experiments.evaluating import Places
    from mixbench.experiments.interchange import export_data
    from mixbench.experiments.progress import say

    places = Places(tasks_dir=tasks_dir, data_dir=data_dir, offline=offline)
    typer.echo(export_data(task, folder, places, splits=split or [], overwrite=overwrite, say=say))


def data_split_command(
    pairs: Annotated[Path, typer.Argument(help="File of pairs: jsonl, .gz, .xz, parquet.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write train/NAME.jsonl and test/NAME.jsonl to.")
    ],
    test: Annotated[int, typer.Option(min=1, help="Pairs to test on, at least; whole passages are taken.")],
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 0,
) -> None:
    """Split a file of pairs into one to train on and one to test on, which share no positive."""
    from mixbench.experiments.splitting import split_pairs

    for path in split_pairs(pairs, output, test, seed):
        typer.echo(path)
