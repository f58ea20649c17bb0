"""Verbs that take a finished model elsewhere."""

from pathlib import Path
from typing import Annotated

import typer


def export_command(
    model: Annotated[str, typer.Argument(help="mixer-tiny or a model folder.")],
    output: Annotated[Path, typer.Argument(help="Folder to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model folder.")] = False,
) -> None:
    """Write a model that sentence-transformers loads where mixbench is not installed."""
    from mixbench.experiments.publishing import run_export

    typer.echo(run_export(model, output, overwrite=overwrite))
