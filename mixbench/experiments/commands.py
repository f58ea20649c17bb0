"""The commands that results and records name: what anyone types to get the same again."""

import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from mixbench.experiments.systems import COMPOSITE, EncoderOptions


def eval_command(model: str, task: str, options: EncoderOptions, *, local_data: bool) -> str:
    """Return the command for one model on one task: every option that is not at its default.

    `local_data` tells that the task was read from a folder, whose place is the user's own affair.
    """
    words = ["mixbench", "eval", "-m", _without_places(model), "-t", task]
    for field in fields(options):
        value = getattr(options, field.name)
        if value == field.default:
            continue
        flag = "--" + field.name.replace("_", "-")
        if field.name == "rerank":
            value = _without_place(value)
        words += [flag] if value is True else [flag, str(value)]
    return shlex.join(words) + (" --data-dir DATA" if local_data else "")


def command_line(arguments: Sequence[str]) -> str:
    """Return the command line `arguments` (without the program), absolute paths cut to their last name."""
    return shlex.join(["mixbench", *map(_without_place, arguments)])


def _without_place(word: str) -> str:
    if word.startswith("maxsim:"):
        return "maxsim:" + _without_place(word.removeprefix("maxsim:"))
    return Path(word).name if word.startswith(("/", "~")) else word


def _without_places(model: str) -> str:
    """Return a model's name, absolute paths cut to their last name within a stored run or a fusion too."""
    kind, colon, rest = model.partition(":")
    if not colon or kind not in COMPOSITE:
        return _without_place(model)
    return f"{kind}:{','.join(map(_without_places, rest.split(',')))}"
