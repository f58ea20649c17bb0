"""`mixbench results`: stored results to mteb's form, and mteb's beside ours."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import Json, Output, TasksDir


def results_export_command(
    folder: Annotated[Path, typer.Argument(help="Folder to write results/MODEL/REVISION/TASK.json into.")],
    output: Output = Path("leaderboards"),
    tasks_dir: TasksDir = None,
    own_tasks: Annotated[
        bool, typer.Option("--own-tasks", help="Also tasks that mteb has not, under their own names.")
    ] = False,
) -> None:
    """Write stored results as the tree of mteb's public results repository."""
    from mixbench.experiments.interchange import export_results
    from mixbench.experiments.progress import say

    for path in export_results(folder, output, tasks_dir, own_tasks=own_tasks, say=say):
        typer.echo(path)


def results_compare_command(
    paths: Annotated[list[Path], typer.Argument(help="Result files of mteb, or folders of them.")],
    output: Output = Path("leaderboards"),
    tasks_dir: TasksDir = None,
    as_json: Json = False,
) -> None:
    """Show results of mteb beside ours of the same model and task; nothing is stored."""
    from mixbench.experiments.interchange import compare_with_mteb
    from mixbench.experiments.reporting import print_rows

    print_rows(compare_with_mteb(paths, output, tasks_dir), as_json=as_json)
