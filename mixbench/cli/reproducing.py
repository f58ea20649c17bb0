"""Verbs that run other verbs: the paper's claims, and any file of runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixbench.cli.options import Device

if TYPE_CHECKING:
    from mixbench.experiments.runs import Ran


def reproduce_command(
    claims: Annotated[list[str] | None, typer.Argument(help="Claims by id, as T1. [all]")] = None,
    show: Annotated[
        bool, typer.Option("--list", help="List the claims and their state; run nothing.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check the page against the evidence; run nothing.")
    ] = False,
    render: Annotated[
        bool, typer.Option("--render", help="Write the page from the evidence; run nothing.")
    ] = False,
    scale: Annotated[
        str, typer.Option(help="full, or smoke: tiny models and embedded data, which prove nothing.")
    ] = "full",
    portion: Annotated[
        int | None,
        typer.Option(min=1, help="Only the runs of this portion, of 25 GPU minutes at most. [all]"),
    ] = None,
    slots: Annotated[
        int,
        typer.Option(min=1, help="Runs at once; one is some 20 GB of a GPU, and large ones take several."),
    ] = 1,
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Start nothing whose estimate no longer fits into these.")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Folder of models and logs. [build/reproduce/SCALE]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder to write paper/ into, page and evidence. [leaderboards; of smoke, WORK]"),
    ] = None,
    device: Device = "cpu",
    pairs_dir: Annotated[
        Path | None, typer.Option(help="Folder of arxiv.jsonl.xz and code.jsonl.xz, pairs to train on.")
    ] = None,
    text: Annotated[Path | None, typer.Option(help="Text file to learn a language from, of books.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the hub.")] = False,
) -> None:
    """Run the claims of the masked-mixer paper and judge them: what is missing is run, then the page written.

    Each claim has its runs and its rule in the package. A call that was cut short is resumed by the next.
    """
    from mixbench.experiments.reporting import print_table
    from mixbench.experiments.reproducing import (
        ReproduceOptions,
        check_paper,
        list_claims,
        reproduce,
        write_page,
    )

    options = ReproduceOptions(
        scale=scale,
        portion=portion,
        slots=slots,
        max_minutes=max_minutes,
        work=work,
        output=output,
        device=device,
        pairs_dir=pairs_dir,
        text=text,
        offline=offline,
    )
    if show:
        print_table(list_claims(claims or [], options))
        return
    if check:
        problems = check_paper(options)
        for problem in problems:
            typer.echo(problem)
        raise typer.Exit(3 if problems else 0)
    if render:
        typer.echo(write_page(options))
        return
    ran = reproduce(claims or [], options)
    typer.echo(options.page_folder / "README.md")
    _end(ran)


def run_command(
    file: Annotated[Path, typer.Argument(help="TOML file of runs, as leaderboards/ablations/recipes.toml.")],
    names: Annotated[list[str] | None, typer.Argument(help="Runs by name. [all]")] = None,
    show: Annotated[bool, typer.Option("--list", help="List the runs and their state; run nothing.")] = False,
    value: Annotated[
        list[str] | None, typer.Option(help="NAME=TEXT for {NAME} in commands; repeatable.")
    ] = None,
    slots: Annotated[int, typer.Option(min=1, help="Runs at once; a run may take several slots.")] = 1,
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Start nothing whose estimate no longer fits into these.")
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder of what the runs write, and of their logs.")] = Path(
        "build/runs"
    ),
    device: Device = "cpu",
) -> None:
    """Run what is missing of a file of runs, in the order of their needs.

    A call that was cut short is resumed by the next. The runs' logs are in runs/ below --work.
    """
    from mixbench.experiments.recipes import read_values, recipes_table, run_recipes
    from mixbench.experiments.reporting import print_table

    given = read_values(value or [])
    if show:
        print_table(recipes_table(file, names or [], given, work))
        return
    ran = run_recipes(file, names or [], given, work, device=device, slots=slots, max_minutes=max_minutes)
    for name in (*ran.kept, *ran.done):
        typer.echo(name)
    _end(ran)


def _end(ran: "Ran") -> None:
    """End with status 1 and a line of what failed, where anything did."""
    if ran.failed:
        typer.echo(f"mixbench: {len(ran.failed)} runs failed: {', '.join(ran.failed)}", err=True)
        raise typer.Exit(1)
