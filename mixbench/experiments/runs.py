"""A list of runs, each some commands of mixbench, of which those that are missing are run.

A run is done when the files that prove it are there, and beside them its record with the same commands: the
record is written last, so that a run that was cut off counts as missing. One that needs a run that is missing
is missing too. Runs that need nothing of each other go on at once, as far as slots are free.

    WORK/runs/NAME.json     the record: commands, seconds, and where they ran
    WORK/runs/NAME.log      what the commands said on standard error
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

from mixbench.errors import InputError, UnknownName
from mixbench.experiments.run_process import RunProcess
from mixbench.experiments.runs_record import record_of, record_path, recorded_commands

PLACEHOLDER = re.compile(r"\{(\w+)\}")
POLL = 0.05
"""Seconds between two looks at the processes."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Commands that make some files.

    `commands` are the words after `mixbench`, with placeholders such as {work}; they run one after another.
    `proof` are files below the work folder that show the run done, each written whole or not at all. What
    the commands print goes to the file `printed`, below the work folder too, when the last has ended well.
    `minutes` is an estimate; `slots` is the share that a run takes of what they all run on; `portion` tells
    which runs are started together, 0 is for what every portion may need.
    """

    name: str
    commands: Sequence[Sequence[str]]
    proof: Sequence[str]
    needs: Sequence[str] = ()
    minutes: float = 1.0
    slots: int = 1
    portion: int = 0
    printed: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What became of each run, by name; `failed` and `skipped` with the reason, in a line."""

    done: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Those that had been done before."""
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def run_missing(
    runs: Sequence[Run],
    work: Path,
    *,
    slots: int = 1,
    values: Mapping[str, str] | None = None,
    max_minutes: float | None = None,
    environment: Mapping[str, str] | None = None,
    say: Say = lambda line: None,
) -> Ran:
    """Run what is missing of `runs` in the folder `work`, and go on where one fails.

    Args:
        runs: all that they need is among them.
        slots: how many go on at once; a run of several slots takes as many of them, or all there are.
        values: what stands for the placeholders, beside {work}.
        max_minutes: nothing is started whose estimate would end later.
        environment: variables of the processes, beside those of this one.
        say: told a line when a run starts, ends, fails or is skipped.

    Raises:
        InputError: two runs have a name, they need each other in a ring, or a placeholder has no value.
        UnknownName: a run needs one that is not there.
    """
    filled = {"work": str(work), **(values or {})}
    ordered = in_order(runs)
    missing = missing_of(ordered, work)
    ready = {run.name: fill(run, filled) for run in ordered if run.name in missing}
    ran = Ran(kept=[run.name for run in ordered if run.name not in missing])
    crew = _Crew(
        work,
        ready,
        ran,
        say,
        device=filled.get("device", "cpu"),
        slots=slots,
        max_minutes=max_minutes,
        environment=environment or {},
    )
    waiting = [run for run in ordered if run.name in missing]
    try:
        while waiting or crew.going:
            waiting = crew.start(waiting)
            crew.look()
            sleep(POLL if crew.going else 0)
    finally:
        crew.stop()
    return ran


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Return `runs` so that each stands after what it needs, and else as they are given.

    Raises as `run_missing` does.
    """
    by_name = {run.name: run for run in runs}
    if len(by_name) < len(runs):
        names = [run.name for run in runs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two runs are called {twice!r}; give each a name of its own")
    ordered: dict[str, Run] = {}

    def add(run: Run, path: tuple[str, ...]) -> None:
        if run.name in path:
            raise InputError(f"runs need each other in a ring: {' needs '.join([*path, run.name])}")
        for need in run.needs:
            if need not in by_name:
                raise UnknownName.of(f"run that {run.name!r} needs:", need, by_name)
            add(by_name[need], (*path, run.name))
        ordered.setdefault(run.name, run)

    for run in runs:
        add(run, ())
    return list(ordered.values())


def with_needs(names: Sequence[str], runs: Sequence[Run]) -> list[Run]:
    """Return the runs called `names` and all that they need, in order. Raises as `in_order` does."""
    ordered, wanted = in_order(runs), set(names)
    for run in reversed(ordered):
        if run.name in wanted:
            wanted |= set(run.needs)
    return [run for run in ordered if run.name in wanted]


def missing_of(ordered: Sequence[Run], work: Path) -> set[str]:
    """Return the names of the runs, which stand in order, that have to be run."""
    missing: set[str] = set()
    for run in ordered:
        if missing & set(run.needs) or not is_done(run, work):
            missing.add(run.name)
    return missing


def is_done(run: Run, work: Path) -> bool:
    """Return whether all that proves `run` is in the folder `work`, by the same commands."""
    proofs = [*run.proof, *([] if run.printed is None else [run.printed])]
    same = recorded_commands(work, run.name) == [list(command) for command in run.commands]
    return same and all((work / proof).is_file() for proof in proofs)


def fill(run: Run, values: Mapping[str, str]) -> list[list[str]]:
    """Return the commands of `run` with `values` for the placeholders.

    Raises:
        InputError: a placeholder has no value.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise InputError(f"run {run.name!r}: nothing is given for {found[0]}; known: {', '.join(values)}")
        return values[found[1]]

    return [[PLACEHOLDER.sub(value, word) for word in command] for command in run.commands]


class _Crew:
    """The processes that are going on, and what came of those that ended."""

    def __init__(
        self,
        work: Path,
        commands: Mapping[str, list[list[str]]],
        ran: Ran,
        say: Say,
        *,
        device: str,
        slots: int,
        max_minutes: float | None,
        environment: Mapping[str, str],
    ) -> None:
        self.work, self.commands, self.ran, self.say = work, commands, ran, say
        self.device, self.slots, self.max_minutes = device, slots, max_minutes
        self.environment = environment
        self.going: dict[str, tuple[Run, RunProcess]] = {}
        self.began = monotonic()

    def start(self, waiting: Sequence[Run]) -> list[Run]:
        """Start what can start now, and return what still waits."""
        still, blocked = [], False
        for run in waiting:
            reason = self._never(run)
            if reason is not None:
                self.ran.skipped[run.name] = reason
                self.say(f"{run.name}: skipped, {reason}")
            elif blocked or not self._can_start(run):
                still.append(run)
                # A run of many slots is not overtaken for ever by small ones behind it.
                blocked = blocked or self._needs_met(run)
            else:
                self.going[run.name] = (
                    run,
                    RunProcess(self.work, run, self.commands[run.name], self.environment),
                )
                self.say(f"{run.name}: started, about {run.minutes:g} min")
        return still

    def look(self) -> None:
        """See which processes have ended."""
        for name, (run, process) in list(self.going.items()):
            status = process.step()
            if status is None:
                continue
            del self.going[name]
            lacking = [proof for proof in run.proof if not (self.work / proof).is_file()]
            if status:
                self._fail(name, f"status {status}: {process.tail()}")
            elif lacking:
                self._fail(name, f"it ended well, but made no {lacking[0]}")
            else:
                process.keep_printed()
                record_of(run, process.seconds, self.work, self.device)
                self.ran.done.append(name)
                self.say(f"{name}: done in {sum(process.seconds) / 60:.1f} min")

    def stop(self) -> None:
        """End every process that is still going."""
        for _, process in self.going.values():
            process.stop()

    def _fail(self, name: str, reason: str) -> None:
        self.ran.failed[name] = reason
        self.say(f"{name}: failed, {reason} (log: {record_path(self.work, name).with_suffix('.log')})")

    def _never(self, run: Run) -> str | None:
        """Return why `run` will not be started in this call; None where it can still be."""
        lost = next((need for need in run.needs if need in self.ran.failed or need in self.ran.skipped), None)
        if lost is not None:
            return f"it needs {lost}"
        minutes = (monotonic() - self.began) / 60
        if self.max_minutes is not None and minutes + run.minutes > self.max_minutes:
            return f"its {run.minutes:g} min no longer fit"
        return None

    def _needs_met(self, run: Run) -> bool:
        return set(run.needs) <= {*self.ran.done, *self.ran.kept}

    def _can_start(self, run: Run) -> bool:
        taken = sum(min(other.slots, self.slots) for other, _ in self.going.values())
        return self._needs_met(run) and taken + min(run.slots, self.slots) <= self.slots
