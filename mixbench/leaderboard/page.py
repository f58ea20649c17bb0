"""A board as one HTML file: page.html, page.css and page.js, and the analysis as JSON among them.

The page asks no network, and its content security policy lets no script or style run but these, which it
knows by their hashes. The script puts every text in as text, and JSON among markup has no "<", so that
no name or command is read as markup.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from mixbench.leaderboard.analysis import Analysis, analyse
from mixbench.leaderboard.contenders import Contender
from mixbench.leaderboard.export import plain
from mixbench.leaderboard.rules import rules
from mixbench.leaderboard.tables import short
from mixbench.leaderboard.uncertainty import controls
from mixbench.results import METRICS

COSTS = {
    "parameters": "Parameters",
    "documents_per_second": "Documents/s",
    "query_seconds_p50": "Query s, p50",
    "query_seconds_p95": "Query s, p95",
    "index_bytes": "Index bytes",
    "flops_per_document": "FLOPs/document",
}
"""Field of `Figures` -> title of its column."""
DIGITS = 3
"""Decimals of a query's score."""


def by_metric(analysis: Analysis) -> list[Analysis]:
    """Return the analysis of a board by its main scores, then by each other metric to choose from."""
    board, own = analysis.board, set(analysis.metrics.values())
    others = [
        analyse(
            board.benchmark, board.results(), board.tasks.values(), analysis.evidence,
            metric=metric, seed=analysis.seed,
        )
        for metric in METRICS
        if own != {metric}
    ]  # fmt: skip
    return [analysis, *others]


def render_page(first: Analysis, texts: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Return the page of a board; its links lead below the board's folder.

    `texts` are task -> query_id -> the query, shown beside its id.
    """
    texts = texts or {}
    data = {
        "boards": [{**plain(analysis), "metric": _metric(analysis)} for analysis in by_metric(first)],
        "tasks": [short(name) for name in first.board.task_names],
        "costs": [{"field": field, "title": title} for field, title in COSTS.items()],
        "controls": " ".join(controls(first)).replace("**", "").replace("`", ""),
        "rules": [line.removeprefix("- ") for line in rules(first)[2:]],
        "commands": {_key(standing.contender): _commands(standing.contender) for standing in first.standings},
        "queries": {
            short(name): _queries(first, name, texts.get(name, {})) for name in first.board.task_names
        },
    }
    style, script = _text("page.css"), _text("page.js")
    return Template(_text("page.html")).substitute(
        title=escape(first.board.benchmark),
        style=style,
        style_hash=_allowed(style),
        script=script,
        script_hash=_allowed(script),
        data=embedded(data),
    )


def embedded(data: Any) -> str:
    """Return `data` as JSON that ends no script and begins no tag, wherever it stands in HTML."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _allowed(content: str) -> str:
    """Return what a content security policy calls an element that holds `content` after a line break."""
    return "sha256-" + b64encode(sha256(f"\n{content}".encode()).digest()).decode()


def _text(name: str) -> str:
    return (files("mixbench.leaderboard") / name).read_text(encoding="utf-8")


def _metric(analysis: Analysis) -> str:
    kinds = sorted({METRICS[metric] for metric in analysis.metrics.values()})
    return kinds[0] if len(kinds) == 1 else f"main scores ({', '.join(kinds)})"


def _key(contender: Contender) -> str:
    return f"{contender.model} {contender.revision}"


def _commands(contender: Contender) -> list[str]:
    return list(dict.fromkeys(command for row in contender.rows for command in row.commands))


def _queries(analysis: Analysis, name: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the query ids of a task, and each row's scores in their order, the first seed's."""
    ids: list[str] = []
    scores: dict[str, list[float]] = {}
    for standing in analysis.standings:
        for result in standing.contender.results(name)[:1]:
            found = analysis.evidence.scores(result, analysis.metrics[name])
            ids = ids or sorted(found)
            if not analysis.board.other_data(result) and found.keys() == set(ids):
                scores[_key(standing.contender)] = [round(found[query_id], DIGITS) for query_id in ids]
    metric = METRICS[analysis.metrics[name]]
    shown = [texts.get(each, "") for each in ids] if texts else []
    return {"ids": ids, "texts": shown, "metric": metric, "scores": scores}
