"""The record of a run, NAME.json in the folder `runs` of a work folder: written last, it proves the run."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from mixbench.files import parse_json, write_atomic

RUNS = "runs"


class Commanded(Protocol):
    """A run as a record has it."""

    @property
    def name(self) -> str: ...

    @property
    def commands(self) -> Sequence[Sequence[str]]: ...


def record_path(folder: Path, name: str) -> Path:
    """Return where the record of the run called `name` lies in a work folder, or in one of evidence."""
    return folder / RUNS / f"{name}.json"


def record_of(run: Commanded, seconds: Sequence[float], work: Path, device: str) -> None:
    """Write the record of a run that has just ended, with the placeholders of its commands as they are."""
    from mixbench.evaluation.provenance import describe_run

    said = "; ".join(shlex.join(["mixbench", *command]) for command in run.commands)
    body = {
        "name": run.name,
        "commands": [list(command) for command in run.commands],
        "seconds": list(seconds),
        "provenance": describe_run(command=said, device=device, seed=0).model_dump(),
    }
    write_atomic(record_path(work, run.name), json.dumps(body, indent=2) + "\n")


def read_record(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the record of a run; None where there is none that can be read."""
    try:
        found: Any = parse_json(record_path(folder, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def recorded_commands(folder: Path, name: str) -> list[list[str]] | None:
    """Return the commands that a record states, with their placeholders; None where there is no record."""
    record = read_record(folder, name)
    return None if record is None else record.get("commands")
