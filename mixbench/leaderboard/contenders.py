"""Contenders: what a board compares. Rows that differ in nothing but their seed are one contender."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mixbench.leaderboard.rows import Board, Row
from mixbench.results import Result, canonical_json

SEED, OUTPUTS = "--seed", ("-o", "--output")


@dataclass(frozen=True, kw_only=True, eq=False)
class Contender:
    """One row, or the rows of several seeds of one recipe, by ascending seed. Each equals itself alone."""

    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    """The seed of each row where there are several, else empty."""

    @property
    def model(self) -> str:
        """The model's name, that of the first seed."""
        return self.rows[0].model

    @property
    def revision(self) -> str:
        """The revision, or how many seeds there are."""
        return f"{len(self.seeds)} seeds" if self.seeds else self.rows[0].revision

    @property
    def dirty(self) -> bool:
        """Whether a result was made by code that is in no commit."""
        return any(row.dirty for row in self.rows)

    @property
    def architecture(self) -> str | None:
        """What the model is by its own files."""
        return self.all_results()[0].architecture

    @property
    def control_of(self) -> str | None:
        """The architecture that it is a control of."""
        return self.all_results()[0].control_of

    def results(self, task: str) -> list[Result]:
        """Return the results on a task, one for each seed; none where it was not evaluated."""
        return [row.results[task] for row in self.rows if task in row.results]

    def all_results(self) -> list[Result]:
        """Return every result."""
        return [result for row in self.rows for result in row.results.values()]

    def lacks(self, board: Board) -> list[str]:
        """Return the tasks of a board on which it has no result for the data of the column."""
        kept = {name: self.results(name) for name in board.task_names}
        return [name for name, each in kept.items() if not each or board.other_data(each[0])]


def group_seeds(rows: Iterable[Row]) -> list[Contender]:
    """Return the contenders of `rows`, in the order in which the first row of each comes.

    Rows are seeds of one recipe where everything but the weights in their recipes, their training commands
    but for --seed and the output folder (or, of untrained models, their names), tasks and data agree, and no
    two have the same seed.
    """
    groups: dict[str, list[tuple[int, Row]]] = {}
    for row in rows:
        key, seed = _recipe_and_seed(row)
        groups.setdefault(key, []).append((seed, row))
    contenders = []
    for members in groups.values():
        seeds = sorted(seed for seed, _ in members)
        if len(members) > 1 and len(set(seeds)) == len(seeds):
            ordered = tuple(row for _, row in sorted(members, key=lambda member: member[0]))
            contenders.append(Contender(rows=ordered, seeds=tuple(seeds)))
        else:
            contenders += [Contender(rows=(row,), seeds=()) for _, row in members]
    return contenders


def _recipe_and_seed(row: Row) -> tuple[str, int]:
    first = next(iter(row.results.values()))
    if first.training_command is None:
        trained, seed = [row.model], first.provenance.seed
    else:
        trained, seed = _without_seed(shlex.split(first.training_command))
    recipe = _without_weights(first.recipe)
    data = {name: result.data_sha256 for name, result in row.results.items()}
    return canonical_json([recipe, trained, data]), seed


def _without_seed(words: Sequence[str]) -> tuple[list[str], int]:
    """Return the words of a command without seed and output folder, and the seed, 0 where none is given."""
    kept, seed, rest = [], 0, iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name == SEED or name in OUTPUTS:
            value = value if equals else next(rest, "")
            seed = int(value) if name == SEED and value.isdecimal() else seed
        else:
            kept.append(word)
    return kept, seed


def _without_weights(recipe: Any) -> Any:
    if isinstance(recipe, dict):
        return {key: _without_weights(value) for key, value in recipe.items() if key != "model_sha256"}
    return [_without_weights(each) for each in recipe] if isinstance(recipe, list) else recipe
