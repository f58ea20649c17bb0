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
    commands = [tuple(shlex.split(filled(command, values))) for command in body.get("commands", ())]
    return made(path, Run, {"proof": (), **body, "name": name, "commands": commands})


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
