"""Benches: contenders that do the same work, timed in turn, round by round.

Taking turns (A B C A B C ...) lets whatever else the machine does meanwhile slow all of them alike, so that
one is compared with another within a round. Rounds of warm-up come first and are not part of any figure.
"""

from collections.abc import Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Protocol, TypeVar

from mixbench.errors import MixbenchError
from mixbench.evaluation.cost import Stopwatch, forget_peaks, peak_device_bytes, peak_memory_bytes
from mixbench.experiments.progress import say

CANNOT_RUN = (MixbenchError, RuntimeError, ValueError)
"""What one raises that cannot do the work: torch's errors, out of memory too, are RuntimeErrors."""


class Contender(Protocol):
    """Who takes part in a bench: a name, and a round of work."""

    @property
    def name(self) -> str: ...

    def run_round(self) -> float:
        """Do the work once, and return the seconds that it took."""
        ...


C = TypeVar("C", bound=Contender)


class TimedWork:
    """A contender whose round is one call of `work`.

    Attributes:
        settings: what it was told that others were not.
        memory_bytes: the most main memory that a round held beyond what was held before it.
        device_bytes: the same of an accelerator; None without one.
    """

    def __init__(self, name: str, settings: str, work: Callable[[], object]) -> None:
        self.name = name
        self.settings = settings
        self.memory_bytes = 0
        self.device_bytes: int | None = None
        self._work = work

    def run_round(self) -> float:
        """Do the work once, wait for the accelerator too, and return the seconds."""
        forget_peaks()
        memory, device = peak_memory_bytes(), peak_device_bytes() or 0
        watch = Stopwatch()
        with watch:
            self._work()
        self.memory_bytes = max(self.memory_bytes, peak_memory_bytes() - memory)
        if (most := peak_device_bytes()) is not None:
            self.device_bytes = max(self.device_bytes or 0, most - device)
        return watch.seconds


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The median of a figure over the rounds, and its extremes."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """Summarise `figures`, one for each round."""
        return cls(median=median(figures), minimum=min(figures), maximum=max(figures))


def take_turns(
    contenders: list[C],
    rounds: int,
    notes: MutableSequence[str],
    *,
    called: str = "round",
    tell: Callable[[str], None] = say,
) -> list[list[float]]:
    """Return the seconds of each contender (outer list) in each round (inner list).

    One that cannot go on is taken out of `contenders`, and a note added. `tell` hears of each turn; a round
    is `called` so. Raises MixbenchError for the first contender, with which the others are compared.
    """
    seconds: list[list[float]] = [[] for _ in contenders]
    for number in range(1, rounds + 1):
        turn = 0
        while turn < len(contenders):
            name = contenders[turn].name
            try:
                seconds[turn].append(contenders[turn].run_round())
            except CANNOT_RUN as error:
                leave_out(name, error, notes, first=turn == 0)
                del contenders[turn], seconds[turn]
                continue
            tell(f"{called} {number} of {rounds}: {name} {seconds[turn][-1]:.2f} s")
            turn += 1
    return seconds


def leave_out(name: str, error: Exception, notes: MutableSequence[str], *, first: bool) -> None:
    """Note that `name` takes no part, and why. Raises MixbenchError for the `first`."""
    reason = " ".join(str(error).split())[:200]
    if first:
        raise MixbenchError(f"{name}, which the others are compared with, cannot run: {reason}") from error
    notes.append(f"{name} was left out: {reason}")
    say(notes[-1])


@contextmanager
def torch_threads(threads: int | None) -> Iterator[int]:
    """Give torch so many threads, its own number for None, and what it had back afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield threads or before
    finally:
        torch.set_num_threads(before)
