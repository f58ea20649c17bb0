"""`mixbench compare`: two systems on one task, query by query, and a gate for regressions."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import DataDir, Json, Output, TasksDir

SIDE = "a TREC run, a result file, or a model's name on the board."


def compare_command(
    a: Annotated[str, typer.Argument(help=f"The one to start from: {SIDE}")],
    b: Annotated[str, typer.Argument(help=f"The one to judge: {SIDE}")],
    task: Annotated[str, typer.Option("--task", "-t", help="Task that both were run on.")],
    fail_if_worse: Annotated[
        float | None,
        typer.Option(
            min=0, help="Exit with 3 where B is worse by more than this, and significantly (p < .05)."
        ),
    ] = None,
    queries: Annotated[int, typer.Option(min=0, help="Queries shown, those that differ most.")] = 10,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Show texts too, where the licence allows it.")
    ] = False,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    output: Output = Path("leaderboards"),
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the hub.")] = False,
    as_json: Json = False,
) -> None:
    """Compare two systems on a task, query by query: stored results, or TREC runs of any engine.

    Differences are B minus A. Runs are scored on the task's data, results by the scores beside them.
    """
    from mixbench.experiments.comparing import run_comparison
    from mixbench.experiments.comparison_report import print_comparison, texts_of, verdict
    from mixbench.experiments.evaluating import Places

    places = Places(tasks_dir=tasks_dir, data_dir=data_dir, output=output, offline=offline)
    comparison, found, data = run_comparison(a, b, task, places)
    texts = texts_of(comparison, found, data, queries) if with_text else {}
    print_comparison(comparison, queries, texts, as_json=as_json)
    if fail_if_worse is not None and comparison.worse_by_more_than(fail_if_worse):
        typer.echo(f"mixbench: B is worse by more than {fail_if_worse}; {verdict(comparison)[2]}", err=True)
        raise typer.Exit(3)
