"""From evidence to verdicts: each comparison of a claim answered by its rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixbench.experiments.claims.claim import Claim, Comparison
from mixbench.experiments.claims.figures import read_figure
from mixbench.experiments.claims.rules import PAIRED, SHOWN, SINGLE, Figure, verdict

NOT_RUN, NOT_TESTED, NOT_MEASURED = "not run yet", "not tested here", "not measured"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A comparison with the figures that were read, and its answer; None where it is only shown."""

    comparison: Comparison
    a: Figure | None
    b: Figure | None
    answer: str | None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim, its verdict, and what it rests on."""

    claim: Claim
    verdict: str
    compared: Sequence[Compared] = ()


def judge(claim: Claim, evidence: Path) -> Judged:
    """Return the verdict on `claim` by the files in `evidence`; a claim that lacks one was not run yet.

    Raises InputError where a file is there but has not the figure that it should have.
    """
    if claim.untested:
        return Judged(claim=claim, verdict=NOT_TESTED)
    if any(not (evidence / name).is_file() for name in claim.files):
        return Judged(claim=claim, verdict=NOT_RUN)
    compared = [_compare(each, evidence) for each in claim.comparisons]
    answers = [each.answer for each in compared if each.answer is not None]
    if NOT_MEASURED in answers:
        return Judged(claim=claim, verdict=NOT_MEASURED, compared=compared)
    found = verdict(answers, whole=not claim.lacks)  # type: ignore[arg-type]  # answers of rules alone
    return Judged(claim=claim, verdict=found, compared=compared)


def _compare(comparison: Comparison, evidence: Path) -> Compared:
    seeds = (comparison.seeds_a, comparison.seeds_b)
    a, b = (
        _best(side, others, comparison, evidence)
        for side, others in zip(comparison.sides, seeds, strict=True)
    )
    if a is not None:
        a = a.times(comparison.times)
    return Compared(comparison=comparison, a=a, b=b, answer=_answer(comparison, a, b))


def _best(side: Sequence[str], seeds: Sequence[str], comparison: Comparison, evidence: Path) -> Figure | None:
    found = [figure for reference in side if (figure := read_figure(evidence, reference)) is not None]
    choose = min if comparison.best == "lowest" else max
    best = choose(found, key=lambda figure: figure.value, default=None)
    others = [figure for reference in seeds if (figure := read_figure(evidence, reference)) is not None]
    return Figure.of_seeds([best, *others]) if best is not None and others else best


def _answer(comparison: Comparison, a: Figure | None, b: Figure | None) -> str | None:
    if comparison.rule == SHOWN:
        return None
    if a is None or (comparison.rule in PAIRED and b is None):
        return NOT_MEASURED
    if comparison.rule in SINGLE:
        return SINGLE[comparison.rule](a, comparison.limit)
    assert b is not None
    return PAIRED[comparison.rule](a, b, comparison.limit)
