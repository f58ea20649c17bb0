"""Runs as TOML states them: commands as one line each, with names in braces that a table of values explains.

A name that the values lack, such as {work}, is left to the runner. Unknown keys are refused.
"""

import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from mixbench.errors import InputError
from mixbench.experiments.run_list import PLACEHOLDER, Run

Made = TypeVar("Made")


def run_stated(path: Path, name: str, body: Mapping[str, Any], values: Mapping[str, str]) -> Run:
    """Return the run called `name` that the table `body` of the file `path` states; raises as `made`.

    A value may stand for several words of a command, or for none.
    """
    _check_kinds(path, name, body)
    try:
        commands = [tuple(shlex.split(filled(command, values))) for command in body.get("commands", ())]
    except ValueError as error:
        raise InputError.at(path, None, f"run {name!r}: a command that no shell reads ({error})") from None
    return made(path, Run, {"proof": (), **body, "name": name, "commands": commands})


def _check_kinds(path: Path, name: str, body: object) -> None:
    """Raise InputError where a run is no table, or a field of it of another kind than `Run` has."""
    if not isinstance(body, Mapping):
        raise InputError.at(path, None, f"run {name!r} must be a table, not {body!r:.60}")
    for field, value in body.items():
        texts = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
        fits = {"commands": texts, "proof": texts, "needs": texts, "printed": isinstance(value, str)}
        fits["minutes"] = isinstance(value, int | float) and value >= 0
        fits |= dict.fromkeys(("slots", "portion"), isinstance(value, int) and value >= 0)
        fits["picks"] = isinstance(value, Mapping)
        if not fits.get(field, True):
            raise InputError.at(path, None, f"run {name!r}: {field} cannot be {value!r:.60}")


def filled(stated: Any, values: Mapping[str, str]) -> Any:
    """Return a text, or each of a list, with `values` put in; a number as it is."""
    if isinstance(stated, list):
        return [filled(each, values) for each in stated]
    if not isinstance(stated, str):
        return stated
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), stated)


def made(path: Path, kind: type[Made], body: Mapping[str, Any]) -> Made:
    """Return the dataclass `kind` with the fields `body`.

    Raises:
        InputError: a field is unknown, or one that must be there is not.
    """
    unknown = body.keys() - {field.name for field in fields(kind)}  # type: ignore[arg-type]  # dataclasses
    if unknown:
        raise InputError.at(path, None, f"unknown keys {sorted(unknown)!r} of a {kind.__name__.lower()}")
    try:
        return kind(**body)
    except TypeError as error:
        raise InputError.at(path, None, f"a {kind.__name__.lower()} that is not whole ({error})") from None
