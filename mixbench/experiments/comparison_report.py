"""How a comparison is shown: a line of verdict, the slices, and the queries that differ most."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from mixbench.data import RetrievalData
from mixbench.errors import InputError
from mixbench.experiments.searching import snippet
from mixbench.experiments.terminal import Terminal
from mixbench.leaderboard.comparison import Comparison, QueryDifference, Slice
from mixbench.leaderboard.tables import effect, said_chance, signed
from mixbench.results import METRICS
from mixbench.tasks import Task

WIDE = 200


def check_showable(task: Task) -> None:
    """Raise InputError for a task whose texts may not be shown."""
    if not task.redistribute:
        licence = f"its licence ({task.licence}) does not let its texts be passed on"
        raise InputError(f"{task.name}: {licence}; leave out --with-text")


def texts_of(
    comparison: Comparison, task: Task, data: Sequence[RetrievalData] | None, queries: int
) -> dict[str, str]:
    """Return id -> text of the `queries` first queries of a comparison and of their top documents.

    A query's id is as in the comparison, a document's follows it after a space. Raises InputError for a task
    whose texts may not be shown, and where its data is not here.
    """
    check_showable(task)
    if data is None:
        raise InputError(f"{task.name}: its data is not here; get it, or leave out --with-text")
    texts: dict[str, str] = {}
    for each in data:
        documents = {document.doc_id: document.content for document in each.corpus}
        for shown in comparison.queries[:queries]:
            query_id = shown.query_id.removeprefix(each.prefix)
            if shown.query_id.startswith(each.prefix) and query_id in each.queries:
                texts[shown.query_id] = each.queries[query_id]
                for doc_id in filter(None, (shown.top_a, shown.top_b)):
                    text = snippet(documents.get(doc_id, ""), each.queries[query_id])
                    texts[f"{shown.query_id} {doc_id}"] = text
    return texts


def print_comparison(
    comparison: Comparison, queries: int, texts: Mapping[str, str], *, as_json: bool
) -> None:
    """Print a comparison, with its `queries` first queries; or as JSON, with all of them."""
    if as_json:
        fields: dict[str, Any] = (
            {**comparison.to_dict(), "texts": dict(texts)} if texts else comparison.to_dict()
        )
        sys.stdout.write(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
        return
    console = Terminal(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    for line in verdict(comparison):
        console.print(line, markup=False, soft_wrap=True)
    if comparison.slices:
        console.print(_slices(comparison.slices))
    if queries:
        console.print(_queries(comparison.queries[:queries], texts))


def verdict(comparison: Comparison) -> list[str]:
    """Return what came of it in a few lines."""
    shown = comparison
    metric = METRICS[shown.metric]
    interval = f"95 % interval {signed(shown.low)} to {signed(shown.high)}"
    drawn = "queries of one document drawn together" if shown.clustered else "queries drawn singly"
    return [
        f"A {shown.name_a}: {metric} {shown.a:.4f} on {shown.task}",
        f"B {shown.name_b}: {metric} {shown.b:.4f}",
        f"B − A: {signed(shown.difference)}, {interval} ({drawn})",
        f"{said_chance(shown.p_randomisation)} (randomisation), {said_chance(shown.p_t)} (t),"
        f" effect {effect(shown.effect)}",
        f"of {len(shown.queries)} queries B is better on {shown.wins}, worse on {shown.losses},"
        f" equal on {shown.ties}",
    ]


def _slices(slices: Sequence[Slice]) -> Table:
    table = Table()
    for heading in ("queries by", "from", "to", "queries", "A", "B", "B − A", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "queries by" else "right")
    for each in slices:
        ends = f"{signed(each.difference_low)} to {signed(each.difference_high)}"
        numbers = (f"{each.low:.3g}", f"{each.high:.3g}", str(each.queries), f"{each.a:.4f}", f"{each.b:.4f}")
        table.add_row(each.feature, *numbers, signed(each.difference), ends)
    return table


def _queries(queries: Sequence[QueryDifference], texts: Mapping[str, str]) -> Table:
    table = Table(show_lines=bool(texts))
    for heading in ("query", "A", "B", "B − A", "top of A", "top of B"):
        table.add_column(heading, justify="right" if heading in {"A", "B", "B − A"} else "left")
    for each in queries:
        tops = [_with_text(top, texts.get(f"{each.query_id} {top}")) for top in (each.top_a, each.top_b)]
        name = _with_text(each.query_id, texts.get(each.query_id))
        table.add_row(name, f"{each.a:.4f}", f"{each.b:.4f}", signed(each.difference), *tops)
    return table


def _with_text(name: str | None, text: str | None) -> Text:
    return Text("–" if name is None else name if text is None else f"{name}: {text}")
