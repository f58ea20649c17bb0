"""A list of runs, each some commands of mixbench, of which those that are missing are run.

A run is done when the files that prove it are there, and beside them its record with the same commands: the
record is written last, so that a run that was cut off counts as missing. One that needs a run that is missing
is missing too. Runs that need nothing of each other go on at once, as far as slots are free,
and share the cores.

    WORK/runs/NAME.json     the record: commands, seconds, and where they ran
    WORK/runs/NAME.log      what the commands said on standard error

`run_list.py` says what a run is.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

from mixbench.errors import InputError
from mixbench.experiments.forked import THREADS
from mixbench.experiments.picking import with_picks
from mixbench.experiments.run_list import Run, fill, in_order, missing_of
from mixbench.experiments.run_process import RunProcess, uninterrupted
from mixbench.experiments.run_record import record_of, record_path

POLL = 0.05
"""Seconds between two looks at the processes."""

Say = Callable[[str], None]


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
        environment={THREADS: str(max(1, (os.cpu_count() or 1) // slots)), **(environment or {})},
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
                self._begin(run)
        return still

    def _begin(self, run: Run) -> None:
        try:
            commands = with_picks(run, self.commands[run.name], self.work)
        except InputError as error:
            self._fail(run.name, str(error))
            return
        with uninterrupted():
            self.going[run.name] = (run, RunProcess(self.work, run, commands, self.environment))
        self.say(f"{run.name}: started, about {run.minutes:g} min")

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
