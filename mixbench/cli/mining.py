"""`mixbench mine`: hard negatives for training pairs."""

from pathlib import Path
from typing import Annotated

import typer

from mixbench.cli.options import DataDir, Device, TasksDir


def mine_command(
    output: Annotated[Path, typer.Option("--output", "-o", help="The .jsonl or .jsonl.gz file to write.")],
    model: Annotated[
        list[str],
        typer.Option("--model", "-m", help="As -m of eval takes it; repeatable: candidates in turn."),
    ],
    pairs: Annotated[Path | None, typer.Option(help="File of query and positive to mine for.")] = None,
    task: Annotated[str | None, typer.Option(help="Mine for this task's train split instead.")] = None,
    negatives: Annotated[int, typer.Option(min=1, help="Hard negatives a pair, at most.")] = 4,
    skip: Annotated[int, typer.Option(min=0, help="Ranks left out at the top.")] = 0,
    depth: Annotated[int, typer.Option(min=1, help="Ranks looked at, those left out included.")] = 50,
    relative: Annotated[
        float, typer.Option(help="Drop what scores above this share of the positive's score, by each model.")
    ] = 0.95,
    data_dir: DataDir = None,
    tasks_dir: TasksDir = None,
    device: Device = "cpu",
    batch_size: Annotated[int, typer.Option(min=1, help="Texts encoded at once.")] = 32,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the hub.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file.")] = False,
) -> None:
    """Write training pairs with hard negatives: positives of other queries that models rank high."""
    from mixbench.experiments.mining import MiningSource, run_mining
    from mixbench.experiments.systems import EncoderOptions
    from mixbench.training.negatives import MiningConfig

    config = MiningConfig(negatives=negatives, skip=skip, depth=depth, relative=relative)
    source = MiningSource(file=pairs, task=task, tasks_dir=tasks_dir, data_dir=data_dir)
    options = EncoderOptions(device=device, batch_size=batch_size, offline=offline)
    typer.echo(run_mining(model, source, config, options, output, overwrite=overwrite))
