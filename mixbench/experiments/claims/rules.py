"""The rules that judge claims: pure functions of figures, each of which gives "yes", "no" or "unclear".

A figure is a mean with its 95 % interval, perhaps with the samples that it is the mean of. Two figures with
as many samples are of the same texts, and are compared by the bootstrap of their paired differences. Two
with intervals alone are compared by these, end against end, which is stricter. Two plain numbers are compared
as they are. Two with a figure for each training seed are compared seed by seed, by the t-interval of these
differences: it holds what another seed would change. Beside a figure of one seed the first seed stands. "yes"
and "no" are only said where the whole interval lies on one side; between, it is unclear.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev
from typing import Literal

from mixbench.experiments.estimates import estimate

Answer = Literal["yes", "no", "unclear"]
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Half the width of a 95 % interval of a mean, in standard errors, by how many numbers it is the mean of."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number, its 95 % interval (its own value where it has none), and its samples where they are known."""

    value: float
    ends: tuple[float, float] | None = None
    """Of the interval; None: those of the bootstrap of `samples`, which is drawn when it is asked for."""
    samples: Sequence[float] = ()
    seeds: "Sequence[Figure]" = ()
    """A figure for each training seed, where there are several; the value is their mean."""

    @classmethod
    def plain(cls, value: float) -> "Figure":
        """Return a number without an interval."""
        return cls(value=value, ends=(value, value))

    @classmethod
    def mean(cls, samples: Sequence[float]) -> "Figure":
        """Return the mean of `samples`, with the percentile interval of its bootstrap."""
        return cls(value=fmean(samples), samples=samples)

    @classmethod
    def of_seeds(cls, seeds: "Sequence[Figure]") -> "Figure":
        """Return the mean of one figure for each of 2 to 5 seeds, with its t-interval."""
        values = [each.value for each in seeds]
        half = T_95[len(values)] * stdev(values) / len(values) ** 0.5
        value = fmean(values)
        return cls(value=value, ends=(value - half, value + half), seeds=seeds)

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self._interval[0]

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self._interval[1]

    @property
    def _interval(self) -> tuple[float, float]:
        return _bootstrapped(tuple(self.samples)) if self.ends is None else self.ends

    def times(self, factor: float) -> "Figure":
        """Return the figure in another unit; `factor` is above 0."""
        return Figure(
            value=self.value * factor,
            ends=None if self.ends is None else (self.ends[0] * factor, self.ends[1] * factor),
            samples=[sample * factor for sample in self.samples],
            seeds=[each.times(factor) for each in self.seeds],
        )


@cache
def _bootstrapped(samples: tuple[float, ...]) -> tuple[float, float]:
    """Return the interval of the mean of `samples`, drawn once: claims and the page share figures."""
    found = estimate([samples])
    return found.low, found.high


def difference(a: Figure, b: Figure) -> Figure:
    """Return a - b, with the interval that what is known of them allows."""
    if a.seeds and len(a.seeds) == len(b.seeds):
        return Figure.of_seeds([difference(*pair) for pair in zip(a.seeds, b.seeds, strict=True)])
    a, b = (each.seeds[0] if each.seeds else each for each in (a, b))
    if a.samples and len(a.samples) == len(b.samples):
        return Figure.mean([one - other for one, other in zip(a.samples, b.samples, strict=True)])
    return Figure(value=a.value - b.value, ends=(a.low - b.high, a.high - b.low))


def lower(a: Figure, b: Figure, margin: float = 0.0) -> Answer:
    """Whether a is below b by more than `margin`."""
    found = difference(a, b)
    return _answer(found.high < -margin, found.low >= -margin)


def higher(a: Figure, b: Figure, margin: float = 0.0) -> Answer:
    """Whether a is above b by more than `margin`."""
    return lower(b, a, margin)


def similar(a: Figure, b: Figure, margin: float) -> Answer:
    """Whether a and b differ by less than `margin`."""
    found = difference(a, b)
    return _answer(-margin < found.low and found.high < margin, found.low >= margin or found.high <= -margin)


def below(a: Figure, limit: float) -> Answer:
    """Whether a is below `limit`."""
    return _answer(a.high < limit, a.low >= limit)


def above(a: Figure, limit: float) -> Answer:
    """Whether a is above `limit`."""
    return _answer(a.low > limit, a.high <= limit)


def times_as_much(a: Figure, b: Figure, limit: float) -> Answer:
    """Whether a is at least `limit` times b, where both are above 0."""
    return _answer(a.low >= limit * b.high, a.high < limit * b.low)


def verdict(answers: Sequence[Answer], *, whole: bool = True) -> str:
    """Return what answers to all comparisons of a claim come to.

    All "yes" is "holds", some is "holds in part", none is "fails", or "undecided" where one is unclear. A
    claim that is not tested as a `whole` holds in part at most.
    """
    if all(answer == "yes" for answer in answers):
        return "holds" if whole else "holds in part"
    if "yes" in answers:
        return "holds in part"
    return "undecided" if "unclear" in answers else "fails"


def _answer(yes: bool, no: bool) -> Answer:
    return "yes" if yes else "no" if no else "unclear"


PAIRED: dict[str, Callable[[Figure, Figure, float], Answer]] = {
    "lower": lower,
    "higher": higher,
    "similar": similar,
    "times": times_as_much,
}
"""Rules of two figures and a number: the margin, or for "times" the factor."""
SINGLE: dict[str, Callable[[Figure, float], Answer]] = {"below": below, "above": above}
"""Rules of one figure and a limit."""
SHOWN = "shown"
"""What a comparison has in place of a rule where its figure stands beside the others and is not judged."""
