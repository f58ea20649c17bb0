"""The commands that results and records name: what anyone types to get the same again."""

import shlex
from dataclasses import fields

from mixbench.experiments.lineage import without_place
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
            value = without_place(value)
        if field.name == "trust_remote_code":
            words += [word for each in value if each in model for word in (flag, without_place(each))]
            continue
        words += [flag] if value is True else [flag, str(value)]
    return shlex.join(words) + (" --data-dir DATA" if local_data else "")


def _without_places(model: str) -> str:
    """Return a model's name, absolute paths cut to their last name within a stored run or a fusion too."""
    kind, colon, rest = model.partition(":")
    if not colon or kind not in COMPOSITE:
        return without_place(model)
    return f"{kind}:{','.join(map(_without_places, rest.split(',')))}"
