"""What a model folder's own record tells of its training, read without loading a library of models."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from mixbench.errors import CheckpointError


def read_training_sources(folder: Path) -> tuple[str, ...] | None:
    """Return what a model folder's own record says it was trained on; None where it has no record."""
    return read_training(folder)[0]


def read_training(folder: Path) -> tuple[tuple[str, ...] | None, str | None]:
    """Return the training sources and the command that a model folder's own record states."""
    record = folder / "mixbench.json"
    if not record.is_file():
        return None, None
    try:
        stated = json.loads(record.read_text())
        return tuple(stated["training_sources"]), stated.get("command") or None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{record}: no training record can be read here ({error}); train again"
        ) from error


def command_line(arguments: Sequence[str]) -> str:
    """Return the command line `arguments` (without the program), absolute paths cut to their last name."""
    return shlex.join(["mixbench", *map(without_place, arguments)])


def without_place(word: str) -> str:
    """Return `word`, cut to its last name where it is an absolute path."""
    if word.startswith("maxsim:"):
        return "maxsim:" + without_place(word.removeprefix("maxsim:"))
    return Path(word).name if word.startswith(("/", "~")) else word
