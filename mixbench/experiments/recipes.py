"""`mixbench run`: a file of runs, of which those that are missing are run.

    [values]                       optional: what names in braces stand for, which may be several words
    batches = "--batch-size 1024"
    arm = "{batches} --max-steps 400"       a value may use those before it

    [runs.small-s1]                all but commands may be left out, see `run_list.Run`
    commands = ["train-retriever small {arm} --pairs {pairs} --seed 1 -o {work}/small-s1"]
    proof = ["small-s1/mixbench.json"]
    needs = ["teacher"]
    slots = 2

Runs follow each other by `needs` and share `--slots`. {work} and {device} are options of the verb, and its
`--value NAME=TEXT` gives all other names. One that the file has takes its place; one that it has not, as
{pairs} above, stays out of the records, so that they are the same wherever the data is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from mixbench.errors import InputError, UnknownName
from mixbench.experiments.progress import say
from mixbench.experiments.run_list import Run, missing_of, with_needs
from mixbench.experiments.run_table import filled, run_stated
from mixbench.experiments.runs import Ran, run_missing
from mixbench.files import parse_toml


def read_recipes(path: Path, given: Mapping[str, str]) -> list[Run]:
    """Return the runs of a file, with those of its values that are `given` in place of its own.

    Raises:
        InputError: it cannot be read, or states what it should not; the error names the file.
    """
    try:
        stated = parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError.at(
            path, None, f"no file of runs can be read here ({error}); give one of TOML"
        ) from None
    values, runs = stated.pop("values", {}), stated.pop("runs", {})
    if stated or not runs or not isinstance(runs, dict) or not isinstance(values, dict):
        problem = f"unknown keys {sorted(stated)!r}" if stated else "no runs"
        raise InputError.at(path, None, f"{problem}; give tables [runs.NAME], and [values] where wanted")
    if bad := [name for name, text in values.items() if not isinstance(text, str)]:
        raise InputError.at(path, None, f"value {bad[0]!r} must be a text")
    known: dict[str, str] = {}
    for name, text in values.items():
        known[name] = given.get(name, filled(text, known))
    return [run_stated(path, name, body, known) for name, body in runs.items()]


def read_values(arguments: Sequence[str]) -> dict[str, str]:
    """Return the values that "NAME=TEXT" give. Raises InputError for another form."""
    parts = [argument.partition("=") for argument in arguments]
    for argument, (name, equals, _) in zip(arguments, parts, strict=True):
        if not (name.isidentifier() and equals):
            raise InputError(f"--value {argument!r}: give NAME=TEXT, as in pairs=my-pairs")
    return {name: text for name, _, text in parts}


def run_recipes(
    path: Path,
    names: Sequence[str],
    given: Mapping[str, str],
    work: Path,
    *,
    device: str,
    slots: int,
    max_minutes: float | None,
) -> Ran:
    """Run what is missing of the runs called `names`, all without any, and of what they need.

    Raises:
        UnknownName: there is no such run.
        InputError: as `read_recipes`, or a name in braces has no value.
    """
    runs, values = read_recipes(path, given), {**given, "device": device}
    return run_missing(
        _chosen(runs, names), work, slots=slots, values=values, max_minutes=max_minutes, say=say
    )


def recipes_table(path: Path, names: Sequence[str], given: Mapping[str, str], work: Path) -> Table:
    """Return a table of the runs: what they need, estimated minutes, slots, and whether they are done."""
    runs = _chosen(read_recipes(path, given), names)
    missing = missing_of(runs, work)
    table = Table(title=f"Runs of {path.name}", title_justify="left")
    for heading in ("run", "needs", "state"):
        table.add_column(heading)
    for heading in ("minutes", "slots"):
        table.add_column(heading, justify="right")
    for run in runs:
        state = "missing" if run.name in missing else "done"
        table.add_row(run.name, ", ".join(run.needs), state, f"{run.minutes:g}", str(run.slots))
    return table


def _chosen(runs: Sequence[Run], names: Sequence[str]) -> list[Run]:
    known = [run.name for run in runs]
    for name in names:
        if name not in known:
            raise UnknownName.of("run", name, known)
    return with_needs(names or known, runs)
