"""The command line: each verb is its options, one call, and what it prints.

Data goes to standard output, progress and messages to standard error. Exit status: 0 done, 1 an expected
error (one line), 2 usage, 3 a check that failed. Rooms are imported inside verbs, so that help is instant.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

import mixbench
from mixbench.cli.bench import bench_encode_command, bench_lm_command, bench_train_command
from mixbench.cli.bench_harness import (
    bench_bm25_command,
    bench_eval_command,
    bench_import_command,
    bench_search_command,
)
from mixbench.cli.comparing import compare_command
from mixbench.cli.data import (
    data_check_command,
    data_export_command,
    data_get_command,
    data_qrels_command,
    data_split_command,
)
from mixbench.cli.evaluation import eval_command, leaderboard_command
from mixbench.cli.known_items import match_command, pools_command
from mixbench.cli.language import curves_command, generate_command, pretrain_command
from mixbench.cli.looking import (
    list_models_command,
    list_results_command,
    list_tasks_command,
    search_command,
)
from mixbench.cli.mining import mine_command
from mixbench.cli.models import export_command
from mixbench.cli.probing import probe_command, relate_command, retention_command
from mixbench.cli.reproducing import reproduce_command, run_command
from mixbench.cli.results import results_compare_command, results_export_command
from mixbench.cli.storing import store_info_command, store_prune_command, store_verify_command
from mixbench.cli.training import train_retriever_command, train_tokenizer_command
from mixbench.errors import InputError, MixbenchError

VERBS: dict[str, Callable[..., Any]] = {
    "eval": eval_command,
    "train-retriever": train_retriever_command,
    "mine": mine_command,
    "pretrain": pretrain_command,
    "generate": generate_command,
    "curves": curves_command,
    "leaderboard": leaderboard_command,
    "compare": compare_command,
    "pools": pools_command,
    "match": match_command,
    "search": search_command,
    "probe": probe_command,
    "retention": retention_command,
    "relate": relate_command,
    "reproduce": reproduce_command,
    "run": run_command,
    "train-tokenizer": train_tokenizer_command,
    "export": export_command,
}
GROUPS: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
    "list": (
        "List tasks, models and results.",
        {"tasks": list_tasks_command, "models": list_models_command, "results": list_results_command},
    ),
    "data": (
        "Get, check, split and export data.",
        {
            "get": data_get_command,
            "check": data_check_command,
            "export": data_export_command,
            "qrels": data_qrels_command,
            "split": data_split_command,
        },
    ),
    "store": (
        "Look after the store of embeddings.",
        {"info": store_info_command, "verify": store_verify_command, "prune": store_prune_command},
    ),
    "results": (
        "Exchange results with mteb.",
        {"export": results_export_command, "compare": results_compare_command},
    ),
    "bench": (
        "Measure speed side by side with a peer.",
        {
            "encode": bench_encode_command,
            "train": bench_train_command,
            "lm": bench_lm_command,
            "search": bench_search_command,
            "bm25": bench_bm25_command,
            "eval": bench_eval_command,
            "import": bench_import_command,
        },
    ),
}


def _app(text: str, verbs: dict[str, Callable[..., Any]]) -> typer.Typer:
    made = typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for name, verb in verbs.items():
        made.command(name)(verb)
    return made


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"mixbench {mixbench.__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    del version  # its callback has answered


app = _app("Evaluate retrievers, train masked mixers, publish leaderboards.", VERBS)
app.callback()(_top)
for group, (text, verbs) in GROUPS.items():
    app.add_typer(_app(text, verbs), name=group)


def main() -> None:
    """Run the command line; end an expected error with one line, of one process, and exit status 1."""
    processes, number = (os.environ.get(name, alone) for name, alone in (("WORLD_SIZE", "1"), ("RANK", "0")))
    try:
        if "LOCAL_RANK" in os.environ and processes != "1" and sys.argv[1:2] != ["train-retriever"]:
            raise InputError(f"{processes} processes were started, of which only train-retriever makes use")
        app(prog_name="mixbench")
    except MixbenchError as error:
        # What fails before they compare, or has no other to be compared with, fails in all alike.
        if not (number != "0" if error.repeated is None else error.repeated):
            typer.echo(f"mixbench: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("mixbench: interrupted", err=True)
        sys.exit(130)


__all__ = ["app", "main"]
