"""Evidence: the small files of runs that verdicts are read from, copied out of the work folder and kept."""

from collections.abc import Sequence
from pathlib import Path

from mixbench.errors import InputError
from mixbench.experiments.claims.claim import ClaimTable, made_by
from mixbench.experiments.run_list import Run, is_done
from mixbench.experiments.run_record import RUNS, read_record, record_path
from mixbench.files import write_atomic

KEPT = (".json", ".svg")
"""Suffixes of files that are evidence; models and data are not."""
LARGEST = 100_000
"""Bytes of a file that is kept."""


def collect(runs: Sequence[Run], work: Path, evidence: Path) -> list[Path]:
    """Copy what proves those of `runs` that are done from `work` to `evidence`; return what is there now.

    Raises:
        InputError: a file is too large to be kept.
    """
    copied = []
    for run in runs:
        if not is_done(run, work):
            continue
        for name in (*kept_of(run), str(record_path(Path(), run.name))):
            content = (work / name).read_bytes()
            if len(content) > LARGEST:
                raise InputError.at(
                    work / name, None, f"{len(content)} bytes; evidence has at most {LARGEST}"
                )
            write_atomic(evidence / name, content)
            copied.append(evidence / name)
    return copied


def kept_of(run: Run) -> list[str]:
    """Return the files of a run that are evidence."""
    return [name for name in made_by(run) if name.endswith(KEPT)]


def check_evidence(table: ClaimTable, evidence: Path) -> list[str]:
    """Return what is wrong with the evidence, a line each: files of no run, and runs by other commands."""
    known = {name for run in table.runs for name in kept_of(run)}
    records = {str(record_path(Path(), run.name)): run for run in table.runs}
    problems = []
    for path in sorted(path for path in evidence.rglob("*") if path.is_file()):
        name = path.relative_to(evidence).as_posix()
        if name not in known and name not in records:
            problems.append(f"{path}: no run of a claim makes this file; delete it")
        if path.stat().st_size > LARGEST:
            problems.append(f"{path}: {path.stat().st_size} bytes; evidence has at most {LARGEST}")
    for run in table.runs:
        present = [name for name in kept_of(run) if (evidence / name).is_file()]
        record = read_record(evidence, run.name)
        if present and record is None:
            problems.append(f"{evidence / present[0]}: nothing tells how it was made, {RUNS}/{run.name}.json")
        elif record is not None and record["commands"] != [list(command) for command in run.commands]:
            problems.append(
                f"{record_path(evidence, run.name)}: made by other commands; run {run.name} again"
            )
    return problems
