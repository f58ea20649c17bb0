"""What the commands of a run leave open until it starts, read from what earlier runs have left."""

from collections.abc import Sequence
from pathlib import Path

from mixbench.errors import InputError
from mixbench.experiments.claims.figures import read_figure, read_value
from mixbench.experiments.run_list import PLACEHOLDER, Pick, Run


def pick(choice: Pick, work: Path) -> str:
    """Return the word that `choice` comes to by the files in `work`; of equal ones the first counts.

    Raises InputError where a file cannot be read or has no such number.
    """

    def figure(name: str) -> float:
        found = read_figure(work, f"{name}#{choice.lowest}")
        if found is None:
            raise InputError.at(work / name, None, f"nothing was measured at {choice.lowest!r}")
        return found.value

    return str(read_value(work, f"{min(choice.among, key=figure)}#{choice.take}"))


def with_picks(run: Run, commands: Sequence[Sequence[str]], work: Path) -> list[list[str]]:
    """Return the commands of `run` with its picks put in. Raises as `pick` does."""
    picked = {name: pick(choice, work) for name, choice in run.picks.items()}
    return [
        [PLACEHOLDER.sub(lambda found: picked.get(found[1], found[0]), word) for word in command]
        for command in commands
    ]
