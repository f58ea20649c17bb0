"""Every error that mixbench raises on purpose.

MixbenchError             one line: what is wrong, where, what to do (exit status 1)
├── InputError            a file, a line of it, or an option's value cannot be used
├── UnknownName           no task, model or preset of that name; suggests the nearest
├── MissingData           a task's data was found nowhere; says how to get it
└── CheckpointError       a model folder that is damaged, foreign or of another shape
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

UNSHOWN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line ends of other kinds than the usual, and halves of characters."""

LONGEST = 600
"""Characters of a problem that are told: it may quote a file, which may hold anything."""


def printable(text: str) -> str:
    """Return `text` with the escapes of what would command a terminal, or cannot be shown, in its place."""
    return UNSHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class MixbenchError(Exception):
    """An expected failure; its message is the one line that a user reads."""

    repeated: bool | None = None
    """Whether another process of the same run says it; None where they have not compared their errors."""

    def __str__(self) -> str:
        """Return the message with nothing in it that would command a terminal, whatever a file holds."""
        return printable(super().__str__())


class InputError(MixbenchError):
    """A file, a line of it, or a value that cannot be used."""

    @classmethod
    def at(cls, path: Path | str, line: int | None, problem: str) -> "InputError":
        """Return the error for `problem` found in `path`, at 1-based `line` where one is to blame."""
        where = f"{path}:{line}" if line is not None else f"{path}"
        shown = problem if len(problem) <= LONGEST else f"{problem[:LONGEST]}..."
        return cls(f"{where}: {shown}".replace("\n", "\\n"))

    @classmethod
    def check_least(cls, least: int, **numbers: int | None) -> None:
        """Raise the error that names the first of `numbers` below `least`; one of None has no value yet."""
        for name, number in numbers.items():
            if number is not None and number < least:
                raise cls(f"{name} is {number!r}; give at least {least}")


class UnknownName(MixbenchError):
    """A name that nothing answers to."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str]) -> "UnknownName":
        """Return the error for a `kind` ("task", "model") called `name`, with what of `known` is near."""
        choices = sorted(known)
        lowered = {choice.lower(): choice for choice in choices}
        near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3)]
        if near:
            hint = "did you mean " + " or ".join(repr(match) for match in near) + "?"
        else:
            hint = f"known: {', '.join(choices) or 'none'}"
        return cls(f"unknown {kind} {name!r}; {hint}")


class MissingData(MixbenchError):
    """A task whose data is in none of the places that were looked at."""


class CheckpointError(MixbenchError):
    """A model folder that is damaged, is not ours to run, or does not fit."""
