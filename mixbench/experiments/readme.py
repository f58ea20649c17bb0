"""The generated parts of README.md: each is rendered from the code that it describes.

`make docs` writes them through cog, and `make check` fails where they are not current.
"""

import ast
import gzip
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from mixbench.errors import MissingData
from mixbench.experiments.systems import names_table

WIDTH = 100
"""Columns of the help texts."""


def model_names() -> str:
    """Return the table of model names that stands at the head of `systems`."""
    rows = names_table()
    names = [", ".join(f"`{name}`" for name in row[0].split(", ")) for row in rows]
    body = [f"| {name} | {row[1]} |" for name, row in zip(names, rows, strict=True)]
    return _lines("| `-m` | what it is |", "|---|---|", *body).replace("`...`", "...")


def benchmarks() -> str:
    """Return a table of the benchmarks: how many tasks each has, and which."""
    from mixbench.tasks import find_tasks

    names: dict[str, list[str]] = {}
    for task in find_tasks().values():
        names.setdefault(task.benchmark, []).append(task.short_name + ("*" if task.known_item else ""))
    body = [f"| `{name}` | {len(tasks)} | {', '.join(tasks)} |" for name, tasks in names.items()]
    return _lines("| `-t` | tasks | which |", "|---|--:|---|", *body)


def boards(folder: Path = Path("leaderboards")) -> str:
    """Return a list of links to the boards below `folder`."""
    pages = sorted(folder.glob("*/README.md"))
    return (
        _lines(*(f"- [{page.parent.name}]({page.as_posix()})" for page in pages)) if pages else "None yet.\n"
    )


def retrievers(folder: Path = Path("leaderboards")) -> str:
    """Return the table of the retrievers scored on all six small sets of the `beir` and `classic` boards."""
    from mixbench.leaderboard import read_boards
    from mixbench.leaderboard.rules import marks
    from mixbench.leaderboard.tables import between, row_name, score, short, table
    from mixbench.tasks import find_tasks

    analysis = read_boards([folder / "beir", folder / "classic"], find_tasks().values())
    names = analysis.board.task_names
    body = []
    for standing in analysis.standings:
        if standing.mean is None or standing.rank_interval is None:
            continue
        seen = {result.task: result for result in standing.contender.all_results()}
        mean = f"{score(standing.mean.score)} ({between(standing.mean.low, standing.mean.high)})"
        rank = "{}–{}".format(*standing.rank_interval)
        size = max(result.costs.parameters for result in seen.values())
        cells = [score(standing.cells[name].score) + marks(analysis.board, seen[name]) for name in names]
        body.append([row_name(standing.contender), f"{size / 1e6:.1f}", mean, rank, *cells])
    return _lines(*table(["model", "10^6 parameters", "mean", "rank", *map(short, names)], body))


def tuned(folder: Path = Path("leaderboards/domain")) -> str:
    """Return the table of retrievers tuned on one source, on held-out texts of it, and what it says."""
    from mixbench.experiments.tuned_table import tuned_table

    return _lines(*tuned_table(folder))


def verdicts(folder: Path = Path("leaderboards/paper")) -> str:
    """Return the table of the paper's claims that have a verdict from evidence in `folder`."""
    from mixbench.experiments.claims.claim import read_claims
    from mixbench.experiments.claims.page import verdicts_table

    return verdicts_table(read_claims("full"), folder)


def training_speed(path: Path = Path("leaderboards/bench-train.json.gz")) -> str:
    """Return the table of a stored `mixbench bench train`, and where and how it was measured."""
    bench = _stored(path)
    first = bench["rows"][0]["name"]
    body = []
    for row in bench["rows"]:
        pace, ratio = row["pairs_per_second"], row["ratio"]
        times = f"{ratio['median']:.2f} ({ratio['minimum']:.2f} to {ratio['maximum']:.2f})"
        cells = (f"{pace['median']:,.0f}", times, f"{row['share_of_peak']:.0%}")
        body.append(f"| `{row['name']}` | {row['parameters_without_embedding']:,} | {' | '.join(cells)} |")
    head = f"| model | parameters without embedding | pairs/s | times `{first}` | of the matrix peak |"
    provenance = bench["provenance"]
    rounds = len(bench["rows"][0]["seconds"])
    said = f"Medians of {rounds} rounds on {provenance['machine']}, torch {provenance['packages']['torch']}:"
    return _lines(head, "|---|--:|--:|--:|--:|", *body, "", said, "", f"    {provenance['command']}")


def speeds(folder: Path = Path("leaderboards")) -> str:
    """Return a table of what the stored reports of `mixbench bench` compare, and how each was made."""
    body, made, where = [], [], set()
    for path in sorted(folder.glob("bench-*.json.gz")):
        bench = _stored(path)
        if "against" not in bench:  # that of training, which has a table of its own
            continue
        first, *others = (row["name"] for row in bench["rows"])
        pairs = [(each, first) for each in others] if first in bench["against"] else []
        rows = {row["name"]: row["against"] for row in bench["rows"]}
        given = [f"{name} {value}" for name, value in bench["settings"].items() if value is not None]
        work = f"{bench['title']}: {', '.join(given)}"
        for ours, theirs in pairs or [(first, name) for name in bench["against"]]:
            ratio = rows[ours][theirs]["ratio"]
            times = f"{ratio['median']:.2f} ({ratio['minimum']:.2f} to {ratio['maximum']:.2f})"
            body.append(f"| {work} | `{ours}` | `{theirs}` | {times} |")
            work = ""
        provenance = bench["provenance"]
        where.add(f"{provenance['machine']}, {provenance['date'][:10]}")
        made.append(f"    {provenance['command']}")
    head = "| work, and what it was given | | against | times as fast |"
    return _lines(head, "|---|---|---|--:|", *body, "", f"Made on {'; '.join(sorted(where))}:", "", *made)


def int8_scores(folder: Path = Path("leaderboards")) -> str:
    """Return a table of the scores on two boards of models in int8, beside those of the same in float32.

    Raises MissingData where a model has scores in int8 alone.
    """
    from mixbench.leaderboard.tables import score, short, signed
    from mixbench.results.storage import find_results

    found = [result for board in ("ablations", "domain") for result in find_results(folder / board)]
    whole = {(each.task, _recipe_key(each.recipe)): each for each in found if "weights" not in each.recipe}
    body = []
    for each in found:
        if "int8" not in str(each.recipe.get("weights")):
            continue
        recipe = {name: value for name, value in each.recipe.items() if name != "weights"}
        key = (each.task, _recipe_key(recipe))
        if key not in whole:
            raise MissingData(
                f"{each.model} has int8 scores on {each.task} and none in float32; eval it as well"
            )
        theirs = whole[key].main_score
        ours = each.main_score
        cells = (score(theirs), score(ours), signed(ours - theirs))
        body.append(f"| `{each.model}` {each.revision} | {short(each.task)} | {' | '.join(cells)} |")
    return _lines("| model, in int8 | task | float32 | int8 | |", "|---|---|--:|--:|--:|", *body)


def scaling() -> str:
    """Return what MS MARCO would take on more GPUs."""
    from mixbench.experiments.scaling import scaling_table

    return scaling_table()


def layout() -> str:
    """Return the rooms and single files of the package, each with the first sentence of its docstring."""
    rows = []
    for path in sorted(_package().iterdir()):
        source = path / "__init__.py" if path.is_dir() else path
        if source.suffix == ".py" and source.is_file():
            rows.append((path.name + "/" * path.is_dir(), _first_sentence(_docstring(source))))
    width = max(len(name) for name, _ in rows) + 2
    return _lines("```text", *(f"mixbench/{name:{width}}{said}" for name, said in rows), "```")


def help_texts(command: Any, name: str = "mixbench") -> str:
    """Return what `--help` says, for a command of the command line and for each verb below it."""
    return _lines("```text", "\n\n\n".join(_helps(command, name)), "```")


def _helps(command: Any, name: str) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True, terminal_width=WIDTH, color=False)
    lines = command.get_help(context).splitlines()
    yield "\n".join([f"$ {name} --help", *(line.rstrip() for line in lines)]).rstrip()
    for verb, child in getattr(command, "commands", {}).items():
        yield from _helps(child, f"{name} {verb}")


def _recipe_key(recipe: Any) -> str:
    return json.dumps(recipe, sort_keys=True)


def _stored(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def _package() -> Path:
    return Path(str(files("mixbench")))


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph)[0]


def _lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"
