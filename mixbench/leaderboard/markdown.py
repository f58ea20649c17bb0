"""A benchmark's page in Markdown: the rules first, then the tables, then how to make each row again.

The same results and task files give the same bytes.
"""

import json
from collections.abc import Sequence

from mixbench.errors import MixbenchError
from mixbench.leaderboard.analysis import Analysis
from mixbench.leaderboard.costs import cost_tables
from mixbench.leaderboard.published import published
from mixbench.leaderboard.rows import Row
from mixbench.leaderboard.rules import IN_DOMAIN, OTHER_DATA, TIED, UNKNOWN, marks, rules
from mixbench.leaderboard.standings import Cell, Standing
from mixbench.leaderboard.tables import NOTHING, between, row_name, score, short, table
from mixbench.leaderboard.uncertainty import controls, fronts, gaps, intervals
from mixbench.results import METRICS, Result, folder_name


def render(analysis: Analysis, *, allow_dirty: bool = False) -> str:
    """Return the page of a board, whose links lead to result files below its own folder.

    Raises MixbenchError for results of uncommitted code, unless `allow_dirty`, which marks them.
    """
    board = analysis.board
    dirty = [str(result.place) for result in board.results() if result.provenance.dirty]
    if dirty and not allow_dirty:
        raise MixbenchError(f"made by uncommitted code: {', '.join(dirty)}; commit, then eval --overwrite")
    sections = [
        [f"# {board.benchmark}"],
        controls(analysis),
        _introduction(analysis),
        rules(analysis),
        ["## Main scores", "", *_main_table(analysis)],
        ["## Intervals", "", "95 %, of each score.", "", *intervals(analysis)],
        gaps(analysis),
        fronts(analysis),
        ["## Other metrics", "", "Means over the tasks of this page.", "", *_metrics_table(analysis)],
        cost_tables(board),
        published(analysis),
        ["## How each row was made", *(line for row in board.rows for line in _how(row))],
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _introduction(analysis: Analysis) -> list[str]:
    board = analysis.board
    command = f"mixbench leaderboard {board.benchmark}"
    lines = [
        f"Written by `{command}` from the result files below this folder, and checked by",
        f"`{command} --check`. Each score links to the file that proves it; the scores of",
        "the single queries lie beside that file.",
    ]
    if board.absent:
        total = len(board.absent) + len(board.task_names)
        said = f"**Partial: {len(board.task_names)} of {total} tasks have results here.**"
        lines += ["", f"{said} Without any: {', '.join(map(short, board.absent))}."]
    return lines


def _main_table(analysis: Analysis) -> list[str]:
    names = analysis.board.task_names
    several = len(names) > 1
    header = ["Model", *(["Mean"] if several else []), "Rank", "Borda", *map(short, names)]
    body = []
    for standing in analysis.standings:
        means = [_mean(analysis, standing)] if several else []
        cells = [_cell(analysis, standing, name) for name in names]
        body.append([row_name(standing.contender), *means, _rank(standing), str(standing.borda), *cells])
    return table(header, body)


def _mean(analysis: Analysis, standing: Standing) -> str:
    if standing.mean is None:
        return NOTHING
    found = {mark for result in standing.contender.all_results() for mark in marks(analysis.board, result)}
    own = "".join(mark for mark in (IN_DOMAIN, UNKNOWN, OTHER_DATA) if mark in found)
    interval = between(standing.mean.low, standing.mean.high)
    return _dressed(standing.mean, score(standing.mean.score) + own) + f" ({interval})"


def _rank(standing: Standing) -> str:
    if standing.rank_interval is None:
        return NOTHING
    low, high = standing.rank_interval
    return f"{standing.rank} ({low}–{high})"


def _cell(analysis: Analysis, standing: Standing, task_name: str) -> str:
    cell, results = standing.cells.get(task_name), standing.contender.results(task_name)
    if cell is None:
        return NOTHING
    own = "".join(dict.fromkeys(mark for result in results for mark in marks(analysis.board, result)))
    seeds = standing.contender.seeds
    if not seeds:
        return _dressed(cell, f"[{score(cell.score)}]({_link(results[0])}){own}")
    links = ", ".join(f"[{seed}]({_link(each)})" for seed, each in zip(seeds, results, strict=True))
    return _dressed(cell, score(cell.score) + own) + f" (seeds {links})"


def _dressed(cell: Cell, text: str) -> str:
    """Return a score in bold where it is the best, marked where it is not separable from that."""
    text = f"**{text}**" if cell.best else f"{text} {TIED}" if cell.tied else text
    return text if cell.seed_spread is None else f"{text} ± {score(cell.seed_spread)}"


def _link(result: Result) -> str:
    return f"{folder_name(result.model)}/{result.revision}/{short(result.task)}.json"


def _metrics_table(analysis: Analysis) -> list[str]:
    header = ["Model", *METRICS.values(), "Empty rankings", "Documents cut"]
    body = []
    for row in analysis.board.rows:
        means = [row.mean(analysis.board.task_names, metric) for metric in METRICS]
        results = row.results.values()
        empty = sum(result.empty_rankings for result in results)
        queries = sum(result.n_queries for result in results)
        scores = [NOTHING if mean is None else score(mean) for mean in means]
        body.append([row_name(row), *scores, f"{empty} of {queries:,}", _cut(list(results))])
    return table(header, body)


def _cut(results: Sequence[Result]) -> str:
    """Share of documents longer than the model reads, over all tasks, where the retriever says."""
    cut = [(result.truncated_share, result.n_documents) for result in results]
    known = [(share, documents) for share, documents in cut if share is not None]
    if len(known) < len(cut):
        return NOTHING
    return f"{sum(share * documents for share, documents in known) / sum(n for _, n in known):.1%}"


def _how(row: Row) -> list[str]:
    results = list(row.results.values())
    made = {
        (each.provenance.commit, each.provenance.source_sha256, each.provenance.mixbench) for each in results
    }
    sources = results[0].training_sources
    trained = "nobody says" if sources is None else ", ".join(sources) or "nothing"
    lines = [
        "",
        f"### {row_name(row)}",
        "",
        *(f"    {line}" for text in row.commands for line in text.splitlines()),
    ]
    lines += ["", f"- recipe: `{json.dumps(results[0].recipe, sort_keys=True, ensure_ascii=False)}`"]
    lines += [f"- trained on: {trained}"]
    for commit, source, version in sorted(made, key=str):
        where = f"commit {commit}" if commit else "no commit recorded"
        lines.append(f"- mixbench {version}, {where}, sources {source[:12]}")
    return lines
