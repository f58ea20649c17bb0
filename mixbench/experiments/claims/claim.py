"""Claims and their runs, read from the TOML files beside this module at one of two scales.

Words in {braces} are first looked up in the values of the scale; what is not there (such as {work}) is left
to the runner. Unknown keys are refused.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mixbench.errors import InputError, UnknownName
from mixbench.experiments.claims.figures import files_of
from mixbench.experiments.claims.rules import PAIRED, SHOWN, SINGLE
from mixbench.experiments.claims.sweeps import Sweeps, read_sweeps, runs_of_sweeps, with_rate, with_sweeps
from mixbench.experiments.run_list import Run, with_needs
from mixbench.experiments.run_table import filled, made, run_stated

FOLDER = Path(__file__).parent
SCALES = ("full", "smoke")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One thing that must be so: figures by reference (see `figures.py`), a rule, and its number.

    `a` and `b` may name several figures, of which the lowest counts, or by `best` the highest: one for each
    learning rate that was tried. `seeds_a` and `seeds_b` are the same figures by other training seeds, with
    the rate that counted. `times` is the factor that turns `a` into the unit of `b`.
    """

    says: str
    rule: str
    a: str | Sequence[str]
    b: str | Sequence[str] = ()
    limit: float = 0.0
    """The margin of "lower", "higher" and "similar", the factor of "times", the limit of others."""
    best: str = "lowest"
    times: float = 1.0
    seeds_a: Sequence[str] = ()
    seeds_b: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.rule not in (*PAIRED, *SINGLE, SHOWN):
            raise UnknownName.of("rule", self.rule, (*PAIRED, *SINGLE, SHOWN))
        if (self.rule in PAIRED) != bool(self.b):
            raise InputError(f"comparison {self.says!r}: rule {self.rule!r} and b do not go together")
        if self.best not in ("lowest", "highest"):
            raise UnknownName.of("best", self.best, ("lowest", "highest"))

    @property
    def sides(self) -> tuple[Sequence[str], Sequence[str]]:
        """The references of both sides, as lists."""
        a, b = ([side] if isinstance(side, str) else list(side) for side in (self.a, self.b))
        return a, b

    @property
    def files(self) -> list[str]:
        """The evidence that it needs."""
        references = [*self.sides[0], *self.sides[1], *self.seeds_a, *self.seeds_b]
        return [name for reference in references for name in files_of(reference)]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the paper, and how it is tested here, or why it is not.

    `paper` is the number that the paper gives and where it got it: a reference, never a result of ours.
    """

    id: str
    says: str
    paper: str
    setting: str = ""
    data: str = ""
    comparisons: Sequence[Comparison] = ()
    lacks: str = ""
    """What of the claim is not tested, so that it holds in part at most."""
    untested: str = ""
    """Why nothing of it is tested here."""

    def __post_init__(self) -> None:
        if bool(self.untested) == bool(self.comparisons):
            raise InputError(f"claim {self.id!r}: give comparisons, or say why it is untested")
        if self.comparisons and all(each.rule == SHOWN for each in self.comparisons):
            raise InputError(f"claim {self.id!r}: give a comparison that is judged")
        if self.comparisons and not (self.setting and self.data):
            raise InputError(f"claim {self.id!r}: say its setting and its data")

    @property
    def files(self) -> list[str]:
        """The evidence that it is judged by, each file once."""
        return list(dict.fromkeys(name for each in self.comparisons for name in each.files))


@dataclass(frozen=True)
class ClaimTable:
    """All claims by id, and all runs, at a scale."""

    scale: str
    claims: Mapping[str, Claim]
    runs: Sequence[Run]

    @cached_property
    def makers(self) -> dict[str, Run]:
        """The run that makes each file."""
        made: dict[str, Run] = {}
        for run in self.runs:
            for name in made_by(run):
                if name in made:
                    raise InputError(f"runs {made[name].name!r} and {run.name!r} both make {name}")
                made[name] = run
        return made

    def runs_of(self, claims: Sequence[Claim], portion: int | None = None) -> list[Run]:
        """Return what the claims need, all in order; with `portion` of that one alone, and what it needs.

        Raises InputError where a claim needs a file that no run makes.
        """
        names = [self._maker(claim, name) for claim in claims for name in claim.files]
        if portion is not None:
            names = [run.name for run in with_needs(names, self.runs) if run.portion == portion]
        return with_needs(names, self.runs)

    def _maker(self, claim: Claim, name: str) -> str:
        if name not in self.makers:
            raise InputError(f"claim {claim.id!r}: no run makes {name}")
        return self.makers[name].name


def made_by(run: Run) -> list[str]:
    """Return the files that prove a run, below its work folder."""
    return [*run.proof, *([] if run.printed is None else [run.printed])]


def read_claims(scale: str = "full", folder: Path = FOLDER) -> ClaimTable:
    """Return the claims and runs of the TOML files in `folder`, in the order of the files' names.

    Raises:
        UnknownName: there is no such scale.
        InputError: a file has what it should not have, or lacks something.
    """
    if scale not in SCALES:
        raise UnknownName.of("scale", scale, SCALES)
    values: dict[str, str] = tomllib.loads((folder / "values.toml").read_text(encoding="utf-8"))[scale]
    claims: dict[str, Claim] = {}
    runs: list[Run] = []
    read = [(path, tomllib.loads(path.read_text(encoding="utf-8"))) for path in _files(folder)]
    sweeps = read_sweeps([(path, stated.pop("sweeps", {})) for path, stated in read])
    for path, stated in read:
        bodies = {**runs_of_sweeps(path, sweeps), **stated.pop("runs", {})}
        runs += [
            run_stated(path, name, with_rate(path, body, sweeps), values) for name, body in bodies.items()
        ]
        for body in stated.pop("claims", ()):
            claim = _claim(path, body, values, sweeps)
            if claim.id in claims:
                raise InputError.at(path, None, f"claim {claim.id!r} is there twice")
            claims[claim.id] = claim
        if stated:
            raise InputError.at(path, None, f"unknown keys {sorted(stated)!r}")
    return ClaimTable(scale, claims, runs)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.toml"))


def _claim(path: Path, body: dict[str, Any], values: Mapping[str, str], sweeps: Sweeps) -> Claim:
    compared = [
        made(
            path, Comparison, {key: filled(value, values) for key, value in with_sweeps(each, sweeps).items()}
        )
        for each in body.pop("comparisons", ())
    ]
    return made(path, Claim, {**body, "comparisons": compared})
