"""Figures out of evidence: `FILE#POINTER`, a JSON file and the way to a number in it.

The steps of a pointer are separated by points: a key, or a list's only element with certain values, as in
`pools/mixer.json#pools[n=32].exact`. What is there may be a number, a list of samples, or a mean with its
interval. `FILE@FILE` has the loss of the first training curve at the moment when the shorter of both ended.
`FILE^n` has of a report of pools the exact top-1 of each query in pools of n, so that systems can be paired.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixbench.errors import InputError
from mixbench.experiments.claims.rules import Figure
from mixbench.files import parse_json

STEP = re.compile(r"([\w-]*)(?:\[((?:[^\[\]]|\[[^\]]*\])*)\])?")
"""A key, and what is chosen of a list, in which a name may have brackets of its own."""
STEPS = re.compile(r"\.(?![^\[]*\])")
"""A point outside brackets."""


def file_of(reference: str) -> str:
    """Return the file that a reference names."""
    return re.split("[#@^]", reference)[0]


def files_of(reference: str) -> list[str]:
    """Return every file that must be there to read a reference."""
    return reference.split("@") if "@" in reference else [file_of(reference)]


def read_figure(folder: Path, reference: str) -> Figure | None:
    """Return the figure that `reference` names below `folder`; None where nothing was measured (null).

    Raises:
        InputError: a file cannot be read, or has no such figure.
    """
    try:
        return _read(folder, reference)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        problem = f"{reference!r} leads to no figure; run its claim again"
        raise InputError.at(folder / file_of(reference), None, problem) from None


def _read(folder: Path, reference: str) -> Figure | None:
    if "@" in reference:
        own, other = (curve_of(read_evidence(folder, name), folder / name) for name in reference.split("@"))
        return Figure.plain(loss_at(own, min(own[-1]["seconds"], other[-1]["seconds"])))
    if "^" in reference:
        return Figure.mean(_top1(folder, *reference.split("^")))
    return _figure(read_value(folder, reference), folder / file_of(reference), reference)


def read_value(folder: Path, reference: str) -> Any:
    """Return whatever is where `reference`, FILE#POINTER, leads. Raises InputError as `read_figure`."""
    name, _, pointer = reference.partition("#")
    found = read_evidence(folder, name)
    for step in STEPS.split(pointer):
        found = _follow(found, step, folder / name, pointer)
    return found


def read_evidence(evidence: Path, name: str) -> Any:
    """Return what a JSON file of evidence holds. Raises InputError where it cannot be read."""
    try:
        return parse_json((evidence / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problem = f"no evidence can be read ({error}); run its claim again"
        raise InputError.at(evidence / name, None, problem) from None


def loss_at(curve: Sequence[Mapping[str, float]], place: float, axis: str = "seconds") -> float:
    """Return the loss of a curve at a place on `axis`, on the line between the two points around it.

    A point of a curve has a number for its axis, which rises, and "loss".
    """
    before = after = curve[0]
    for point in curve:
        before, after = after, point
        if point[axis] >= place:
            break
    width = after[axis] - before[axis]
    share = (place - before[axis]) / width if width else 1.0
    return before["loss"] + min(1.0, share) * (after["loss"] - before["loss"])


def curve_of(record: Any, path: Path) -> list[dict[str, float]]:
    """Return the held-out losses of a record of pretraining, read from `path`. Raises InputError for none."""
    try:
        return [dict(point) for point in record["validation_curve"]]
    except (KeyError, TypeError, ValueError):
        raise InputError.at(path, None, "no record of pretraining: it has no curve") from None


def _top1(folder: Path, name: str, n: str) -> list[float]:
    """Return the probability of each query to find its document first, in pools of `n`."""
    import numpy as np

    from mixbench.probes.pools import exact_top1

    report = read_evidence(folder, name)
    try:
        ranks = np.array([int(rank) for rank in report["ranks"].split()])
        found: list[float] = exact_top1(ranks, report["documents"], [int(n)])[:, 0].tolist()
    except (KeyError, TypeError, ValueError):
        raise InputError.at(folder / name, None, "no report of pools: it has no ranks") from None
    return found


def _follow(found: Any, step: str, path: Path, pointer: str) -> Any:
    match = STEP.fullmatch(step)
    lost = InputError.at(path, None, f"nothing is at {step!r} of {pointer!r}; run its claim again")
    if match is None:
        raise lost
    key, chosen = match.groups()
    if key:
        if not isinstance(found, dict) or key not in found:
            raise lost
        found = found[key]
    if chosen is None:
        return found
    wanted = dict(part.split("=", 1) for part in chosen.split(";"))
    if not isinstance(found, list):
        raise lost
    rows = [each for each in found if isinstance(each, dict)]
    fitting = [each for each in rows if all(str(each.get(name)) == wanted[name] for name in wanted)]
    if len(fitting) != 1:
        raise lost
    return fitting[0]


def _figure(found: Any, path: Path, reference: str) -> Figure | None:
    if found is None:
        return None
    if isinstance(found, dict) and {"mean", "low", "high"} <= found.keys():
        return Figure(value=float(found["mean"]), ends=(float(found["low"]), float(found["high"])))
    if isinstance(found, list) and found and all(isinstance(each, int | float) for each in found):
        return Figure.mean(found)
    if isinstance(found, int | float) and not isinstance(found, bool):
        return Figure.plain(found)
    raise InputError.at(path, None, f"{reference!r} leads to no figure; run its claim again")
