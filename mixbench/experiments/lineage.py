"""What a model folder's own record tells of its training, read without loading a library of models."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixbench.errors import CheckpointError
from mixbench.files import parse_json

if TYPE_CHECKING:
    from mixbench.training.record import Origin


def read_training_sources(folder: Path) -> tuple[str, ...] | None:
    """Return what a model folder's own record says it was trained on; None where it has no record."""
    return read_training(folder)[0]


def read_training(folder: Path) -> tuple[tuple[str, ...] | None, str | None]:
    """Return the training sources and the command that a model folder's own record states."""
    stated = _stated(folder)
    return (
        (None, None) if stated is None else (tuple(stated["training_sources"]), stated.get("command") or None)
    )


def read_commands(folder: Path) -> tuple[str, ...]:
    """Return the commands that made a model folder by its own record, the oldest first."""
    stated = _stated(folder) or {}
    return (*stated.get("earlier_commands", ()), *filter(None, [stated.get("command")]))


def started_from(origin: "Origin", folder: Path) -> "Origin":
    """Return `origin` with what it owes to the model in `folder`: hash, commands and training sources."""
    from mixbench.models.load import model_sha256

    return replace(
        origin,
        base_sha256=model_sha256(folder),
        earlier_commands=read_commands(folder),
        inherited=read_training_sources(folder) or (),
    )


def _stated(folder: Path) -> dict[str, Any] | None:
    """Return a model folder's own record; None where it has none. Raises CheckpointError if damaged."""
    record = folder / "mixbench.json"
    if not record.is_file():
        return None
    try:
        stated: dict[str, Any] = parse_json(record.read_text(encoding="utf-8"))
        if not isinstance(stated, dict) or "training_sources" not in stated:
            raise ValueError("it names no training_sources")
        _check_texts(stated["training_sources"], "training_sources")
        _check_texts(stated.get("earlier_commands", []), "earlier_commands")
        _check_texts([stated.get("command") or ""], "command")
        return stated
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{record}: no training record can be read here ({error}); train again"
        ) from error


def _check_texts(stated: object, key: str) -> None:
    if not isinstance(stated, list) or not all(isinstance(each, str) for each in stated):
        raise ValueError(f"{key} are no texts")


def command_line(arguments: Sequence[str]) -> str:
    """Return the command line `arguments` (without the program), absolute paths cut to their last name."""
    return shlex.join(["mixbench", *map(without_place, arguments)])


def without_place(word: str) -> str:
    """Return `word`, cut to its last name where it is an absolute path."""
    if word.startswith("maxsim:"):
        return "maxsim:" + without_place(word.removeprefix("maxsim:"))
    return Path(word).name if word.startswith(("/", "~")) else word
