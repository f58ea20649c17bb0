"""`mixbench bench import`: `mixbench --help` beside a bare program of typer, which it is built on."""

import sys

from mixbench.errors import InputError
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.bench import take_turns
from mixbench.experiments.bench_report import BenchReport, BenchRow
from mixbench.experiments.fresh_process import FreshProcess
from mixbench.experiments.lineage import command_line

BARE = """
import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def greet(name: str) -> None:
    "Say hello."
    print(name)


app()
"""
"""One verb, and mixbench's own settings of typer."""


def bench_import(rounds: int = 20, warm_up: int = 2) -> BenchReport:
    """Time the help of mixbench and of a bare typer program, each in a fresh process in each round.

    Raises InputError for fewer than one round, MixbenchError where mixbench cannot be started.
    """
    InputError.check_least(1, rounds=rounds)
    notes: list[str] = []
    contenders = [
        FreshProcess("mixbench", "--help", [sys.executable, "-m", "mixbench", "--help"]),
        FreshProcess("typer", "one verb, --help", [sys.executable, "-c", BARE, "--help"]),
    ]
    take_turns(contenders, warm_up, notes, called="warm-up")
    seconds = take_turns(contenders, rounds, notes)
    return BenchReport(
        title="Start-up, a fresh process each time",
        settings={"rounds": rounds, "warm_up": warm_up, "files": "in the page cache, compiled"},
        rows=[
            BenchRow(name=each.name, settings=each.settings, seconds=times)
            for each, times in zip(contenders, seconds, strict=True)
        ],
        against=[each.name for each in contenders[1:]],
        notes=notes,
        provenance=describe_run(command=command_line(sys.argv[1:]), device="cpu", seed=0).model_dump(),
    )
