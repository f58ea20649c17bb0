"""Verbs that look: one query of a task, and what tasks, models and results there are."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import DataDir, Device, Json, Memory, Output, TasksDir


def search_command(
    model: Annotated[str, typer.Argument(help="As -m of eval takes it.")],
    query: Annotated[str, typer.Argument(help="A text, or the id of one of the task's queries.")],
    task: Annotated[str, typer.Option("--task", "-t", help="Task whose corpus to search.")] = "stdlib-code",
    part: Annotated[str, typer.Option(help="Which collection, of a task that has several.")] = "",
    k: Annotated[int, typer.Option("-k", min=1, help="Documents shown.")] = 10,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    device: Device = "cpu",
    batch_size: Annotated[int, typer.Option(min=1, help="Texts encoded at once.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed of an untrained preset's weights.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the hub.")] = False,
    memory: Memory = None,
    as_json: Json = False,
) -> None:
    """Search a task's corpus and show titles, snippets, scores and which documents are relevant."""
    from mixbench.experiments.evaluating import Places
    from mixbench.experiments.reporting import print_search
    from mixbench.experiments.searching import run_search
    from mixbench.experiments.storing import open_encoding
    from mixbench.experiments.systems import EncoderOptions

    options = EncoderOptions(
        device=device,
        batch_size=batch_size,
        seed=seed,
        offline=offline,
        encoding=open_encoding(None, 0, stored=False, memory=memory),
    )
    places = Places(tasks_dir=tasks_dir, data_dir=data_dir, offline=offline, texts_on_disk=memory is not None)
    print_search(run_search(model, query, task, places, options, k=k, part=part), as_json=as_json)


def list_tasks_command(data_dir: DataDir = None, tasks_dir: TasksDir = None, as_json: Json = False) -> None:
    """List tasks, and where the data of each is."""
    from mixbench.experiments.evaluating import Places
    from mixbench.experiments.listing import list_tasks
    from mixbench.experiments.reporting import print_rows

    print_rows(list_tasks(Places(tasks_dir=tasks_dir, data_dir=data_dir)), as_json=as_json)


def list_models_command(as_json: Json = False) -> None:
    """List what -m takes, and the presets."""
    from mixbench.experiments.listing import list_models
    from mixbench.experiments.reporting import print_rows

    print_rows(list_models(), as_json=as_json)


def list_results_command(output: Output = Path("leaderboards"), as_json: Json = False) -> None:
    """List stored results."""
    from mixbench.experiments.listing import list_results
    from mixbench.experiments.reporting import print_rows

    print_rows(list_results(output), as_json=as_json)
