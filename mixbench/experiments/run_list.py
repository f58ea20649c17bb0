"""What a run is, the order of runs by their needs, and which of them are done."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixbench.errors import InputError, UnknownName
from mixbench.experiments.run_record import recorded_commands

PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Pick:
    """A word of a command that is read from files of earlier runs when the run starts.

    Of `among`, JSON files below the work folder, the one with the lowest mean at the pointer `lowest` counts,
    and the word is what that file has at `take`. So a learning rate is chosen by its loss.
    """

    among: Sequence[str]
    lowest: str
    take: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """Commands that make some files.

    `commands` are the words after `mixbench`, with placeholders such as {work}; they run one after another.
    `proof` are files below the work folder that show the run done, each written whole or not at all. What
    the commands print goes to the file `printed`, below the work folder too, when the last has ended well.
    `picks` are placeholders that stand open until the run starts; what makes their files is among `needs`.
    `minutes` is an estimate; `slots` is the share that a run takes of what they all run on; `portion` tells
    which runs are started together, 0 is for what every portion may need.
    """

    name: str
    commands: Sequence[Sequence[str]]
    proof: Sequence[str]
    needs: Sequence[str] = ()
    minutes: float = 1.0
    slots: int = 1
    portion: int = 0
    printed: str | None = None
    picks: Mapping[str, Pick] = field(default_factory=dict)


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Return `runs` so that each stands after what it needs, and else as they are given.

    Raises as `run_missing` does.
    """
    by_name = {run.name: run for run in runs}
    if len(by_name) < len(runs):
        names = [run.name for run in runs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two runs are called {twice!r}; give each a name of its own")
    ordered: dict[str, Run] = {}

    def add(run: Run, path: tuple[str, ...]) -> None:
        if run.name in path:
            raise InputError(f"runs need each other in a ring: {' needs '.join([*path, run.name])}")
        for need in run.needs:
            if need not in by_name:
                raise UnknownName.of(f"run that {run.name!r} needs:", need, by_name)
            add(by_name[need], (*path, run.name))
        ordered.setdefault(run.name, run)

    try:
        for run in runs:
            add(run, ())
    except RecursionError:
        raise InputError(f"{len(runs)} runs need each other in too long a row; divide them") from None
    return list(ordered.values())


def with_needs(names: Sequence[str], runs: Sequence[Run]) -> list[Run]:
    """Return the runs called `names` and all that they need, in order. Raises as `in_order` does."""
    ordered, wanted = in_order(runs), set(names)
    for run in reversed(ordered):
        if run.name in wanted:
            wanted |= set(run.needs)
    return [run for run in ordered if run.name in wanted]


def missing_of(ordered: Sequence[Run], work: Path) -> set[str]:
    """Return the names of the runs, which stand in order, that have to be run."""
    missing: set[str] = set()
    for run in ordered:
        if missing & set(run.needs) or not is_done(run, work):
            missing.add(run.name)
    return missing


def is_done(run: Run, work: Path) -> bool:
    """Return whether all that proves `run` is in the folder `work`, by the same commands."""
    proofs = [*run.proof, *([] if run.printed is None else [run.printed])]
    same = recorded_commands(work, run.name) == [list(command) for command in run.commands]
    return same and all((work / proof).is_file() for proof in proofs)


def fill(run: Run, values: Mapping[str, str]) -> list[list[str]]:
    """Return the commands of `run` with `values` for the placeholders, but for those of its picks.

    Raises:
        InputError: a placeholder has no value.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] in run.picks:
            return found[0]
        if found[1] not in values:
            raise InputError(
                f"run {run.name!r}: nothing is given for {found[0]}; give it, as by"
                f" --value {found[1]}=TEXT; known: {', '.join(values)}"
            )
        return values[found[1]]

    return [[PLACEHOLDER.sub(value, word) for word in command] for command in run.commands]
